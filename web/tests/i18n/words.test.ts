import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { fill, LANGUAGES, language, preferred, titled, words } from '../../src/i18n/words.svelte';

const FOLDER = new URL('../../src/i18n/', import.meta.url);
const SOURCES = new URL('../../src/', import.meta.url);
const STYLES = new URL('../../../models/styles.toml', import.meta.url);

/** Every text of a catalogue by its place. */
function texts(part: unknown, place = ''): [string, string][] {
  if (typeof part === 'string') return [[place, part]];
  return Object.entries(part as object).flatMap(([key, value]) => texts(value, `${place}.${key}`));
}

const catalogue = (code: string) => {
  const text = readFileSync(new URL(`${code}.json`, FOLDER), 'utf8');
  return new Map(texts(JSON.parse(text)));
};
const holes = (text = '') => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
const ENGLISH = catalogue('en');
const OTHERS = Object.keys(LANGUAGES).filter((code) => code !== 'en');

test('there is a catalogue for every language, and no other', () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
  expect(files.sort()).toEqual(
    Object.keys(LANGUAGES)
      .map((code) => `${code}.json`)
      .sort(),
  );
});

test.each(OTHERS)('%s has every text, none empty, with the same values in it', (code) => {
  const other = catalogue(code);
  expect([...other.keys()].sort()).toEqual([...ENGLISH.keys()].sort());
  for (const [place, text] of other) {
    expect(text.trim(), place).not.toBe('');
    expect(holes(text), place).toEqual(holes(ENGLISH.get(place)));
  }
});

test.each(OTHERS)('%s is another language than English', (code) => {
  const other = catalogue(code);
  const long = [...ENGLISH].filter(
    ([, text]) => (text.replace(/\{\w+\}/g, '').match(/\p{L}{2,}/gu)?.length ?? 0) > 3,
  );
  expect(long.length).toBeGreaterThan(50);
  for (const [place, text] of long) expect(other.get(place), place).not.toBe(text);
});

test('every built-in style has its name in the catalogues', () => {
  const toml = readFileSync(STYLES, 'utf8');
  const [listed = ''] = toml.split('listed = false');
  const names = [...listed.matchAll(/\[\[model\.style\]\]\nname = "([\w-]+)"/g)].map(
    ([, name]) => name,
  );
  expect(names.length).toBeGreaterThan(10);
  const known = [...ENGLISH.keys()].filter((place) => place.startsWith('.titles.'));
  for (const name of names) expect(known).toContain(`.titles.${name}`);
});

test('no text of the page stands in its code', () => {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' });
  const plain = files
    .filter((name) => name.endsWith('.svelte'))
    .flatMap((name) => {
      const text = readFileSync(new URL(name, SOURCES), 'utf8');
      const markup = text
        .replace(/<(script|style)[\s\S]*?<\/\1>/g, '')
        .replace(/<!--[\s\S]*?-->/g, '');
      const found = markup.matchAll(/(?:aria-label|title|alt|placeholder)="([^"{]+)"/g);
      return [...found].map(([, said]) => `${name}: ${said}`);
    });
  expect(plain.filter((line) => !line.endsWith(': streamer'))).toEqual([]);
});

test('a language is loaded when it is chosen', async () => {
  await language.choose('de');
  expect([language.code, words().close]).toEqual(['de', catalogue('de').get('.close')]);
  expect(titled({ name: 'autumn', title: 'Autumn' })).toBe(catalogue('de').get('.titles.autumn'));
  expect(titled({ name: 'my-cat', title: 'My cat' })).toBe('My cat');
  await language.choose('en');
  expect(words().close).toBe('Close');
});

test('values go where they belong', () => {
  expect(fill('{a} of {b}, {a}', { a: 1, b: 'x' })).toBe('1 of x, 1');
  expect(fill('{unknown}', {})).toBe('{unknown}');
});

test('the first language of the browser that the page speaks', () => {
  expect(preferred(['ru-RU', 'es-MX', 'en'])).toBe('es');
  expect(preferred(['pt-BR'])).toBe('pt');
  expect(preferred(['ru'])).toBe('en');
  expect(preferred([])).toBe('en');
});
