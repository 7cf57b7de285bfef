import { readdirSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { expect, test } from 'vitest';

const SRC = new URL('../src/', import.meta.url).pathname;
const FILES = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(ts|svelte)$/.test(file))
  .sort();
const text = (file: string) => readFileSync(join(SRC, file), 'utf8');

/** The files of `src/` that one of them imports, types included. */
function imports(file: string): string[] {
  const found = text(file).matchAll(/(?:from|import) '(\.[^'?]*)/g);
  return [...found].flatMap(([, path = '']) => {
    const plain = normalize(join(file, '..', path));
    return [plain, `${plain}.ts`].filter((name) => FILES.includes(name));
  });
}

const IMPORTS = new Map(FILES.map((file) => [file, imports(file)]));

function cycle(file: string, path: string[] = []): string[] | null {
  if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
  for (const next of IMPORTS.get(file) ?? []) {
    const found = cycle(next, [...path, file]);
    if (found) return found;
  }
  return null;
}

test('no module imports itself, by whatever detour', () => {
  expect([...IMPORTS.values()].flat().length).toBeGreaterThan(FILES.length);
  for (const file of FILES) expect(cycle(file)).toBeNull();
});

/** From the bottom up: what the files of a folder may import besides each other. */
const BELOW: Record<string, string[]> = {
  rtc: [],
  i18n: ['rtc'],
  ui: ['rtc', 'i18n'],
};

test.each(Object.entries(BELOW))('%s imports only what is below it', (folder, below) => {
  const files = FILES.filter((file) => file.startsWith(`${folder}/`));
  expect(files).not.toEqual([]);
  const outside = files.flatMap((file) =>
    (IMPORTS.get(file) ?? []).filter((name) => {
      const top = name.split('/')[0] ?? '';
      return top !== folder && !below.includes(top);
    }),
  );
  expect(outside).toEqual([]);
});

test('only rtc/api.ts speaks HTTP', () => {
  const speakers = FILES.filter((file) => /\bfetch\(|XMLHttpRequest/.test(text(file)));
  expect(speakers).toEqual(['rtc/api.ts']);
});
