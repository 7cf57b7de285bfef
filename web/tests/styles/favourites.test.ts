import { expect, test, vi } from 'vitest';
import { Favourites, found, ordered } from '../../src/styles/favourites.svelte';

const STYLES = ['none', 'autumn', 'starry', 'sea-foam'].map((name) => ({
  name,
  title: name.replace('-', ' '),
  model: '',
  description: name === 'starry' ? 'Dashes of night blue' : '',
}));
const names = (styles: { name: string }[]) => styles.map(({ name }) => name);

test('favourites come first as they were chosen, behind the plain camera', () => {
  expect(names(ordered(STYLES, []))).toEqual(names(STYLES));
  expect(names(ordered(STYLES, ['sea-foam', 'starry']))).toEqual([
    'none',
    'sea-foam',
    'starry',
    'autumn',
  ]);
});

test('a style is liked and no longer liked, and both are kept', () => {
  const save = vi.fn();
  const favourites = new Favourites(['starry'], save);
  favourites.toggle('autumn');
  favourites.toggle('starry');
  expect(favourites.names).toEqual(['autumn']);
  expect(save.mock.calls).toEqual([[['starry', 'autumn']], [['autumn']]]);
});

test('a search looks at names, titles and descriptions, for every word', () => {
  const by = (text: string) => names(found(STYLES, text, ({ title }) => title));
  expect(by('')).toHaveLength(4);
  expect(by('FOAM sea')).toEqual(['sea-foam']);
  expect(by('night')).toEqual(['starry']);
  expect(by('night foam')).toEqual([]);
});
