import { expect, test } from 'vitest';
import { en } from '../../src/i18n/en';
import { es } from '../../src/i18n/es';
import { preferred } from '../../src/i18n/words.svelte';

/** Every text of the page by its place, functions called with made-up arguments. */
function texts(words: unknown, place = ''): [string, string][] {
  if (typeof words === 'string') return [[place, words]];
  if (typeof words === 'function') return [[place, String(words(1, 2))]];
  return Object.entries(words as object).flatMap(([key, value]) => texts(value, `${place}.${key}`));
}

test('both languages have every text, and none is empty', () => {
  const [english, spanish] = [texts(en), texts(es)];
  expect(spanish.map(([place]) => place)).toEqual(english.map(([place]) => place));
  for (const [place, text] of [...english, ...spanish]) expect(text, place).not.toBe('');
});

test('the first language of the browser that the page speaks', () => {
  expect(preferred(['de-DE', 'es-MX', 'en'])).toBe('es');
  expect(preferred(['de'])).toBe('en');
  expect(preferred([])).toBe('en');
});
