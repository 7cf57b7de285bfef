import { expect, test, vi } from 'vitest';
import { Film, Films } from '../../src/uploads/videos.svelte';

const REPORT = { frames: 30, total: 120, fps: 12, eta_s: 7.5, message: '' };

test('a film shows how far it is, when anybody knows', () => {
  const film = new Film('a.mp4', '/films/x');
  film.take({ ...REPORT, state: 'painting' });
  expect(film).toMatchObject({ state: 'painting', progress: 0.25 });
  film.take({ ...REPORT, state: 'painting', total: 0 });
  expect(film.progress).toBeNull();
  film.take({ ...REPORT, state: 'failed', message: 'no picture in it' });
  expect(film.failure).toMatchObject({ reason: 'refused', detail: 'no picture in it' });
});

test('a removed film is cancelled on the server and asked for no more', async () => {
  const asked: [string, string][] = [];
  vi.stubGlobal('sessionStorage', { getItem: () => '[["a.mp4", "/films/x"]]', setItem() {} });
  vi.stubGlobal('fetch', async (url: string, options?: RequestInit) => {
    asked.push([options?.method ?? 'GET', url]);
    return Response.json({ ...REPORT, state: 'painting' });
  });
  const films = new Films();
  films.restore();
  await vi.waitFor(() => expect(films.all[0]?.state).toBe('painting'));
  const [film] = films.all;
  if (film) await films.remove(film);
  expect(films.all).toEqual([]);
  expect(asked.at(-1)).toEqual(['DELETE', '/films/x']);
  vi.unstubAllGlobals();
});
