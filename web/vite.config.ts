import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { ROUTES } from './src/rtc/api';

const server = 'http://127.0.0.1:8000';

export default defineConfig({
  plugins: [svelte()],
  // Scripts find each other wherever a proxy has the server; pages are moved there by the server.
  experimental: {
    renderBuiltUrl: (name, { hostType }) => (hostType === 'html' ? `/${name}` : { relative: true }),
  },
  build: {
    outDir: '../streamer/web',
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the server's content policy wants files
    rollupOptions: { input: ['index.html', 'watch.html'] },
  },
  server: {
    // The server compares Origin with Host, so the proxy must look like the page's own server.
    proxy: {
      ...Object.fromEntries(
        Object.values(ROUTES).map((path) => [
          path,
          { target: server, changeOrigin: true, headers: { origin: server } },
        ]),
      ),
      '^/watch/': { target: server, bypass: () => '/watch.html' },
    },
  },
});
