import { expect, test } from 'vitest';
import { MOST, read, shares, toggle, weigh, write } from '../../src/styles/blend';

test('a second and a third style get equal shares, a fourth takes the place of the first', () => {
  const two = toggle('a', 'b');
  expect(two).toEqual({ a: 0.5, b: 0.5 });
  const three = toggle(two, 'c');
  for (const share of Object.values(shares(three))) expect(share).toBeCloseTo(1 / 3);
  const four = toggle(three, 'd');
  expect(Object.keys(shares(four))).toEqual(['b', 'c', 'd']);
  expect(Object.keys(shares(four))).toHaveLength(MOST);
});

test('taking one out leaves the others their proportions, the last one stays', () => {
  const two = toggle({ a: 0.2, b: 0.6, c: 0.2 }, 'c');
  expect(shares(two).a).toBeCloseTo(0.25);
  expect(shares(two).b).toBeCloseTo(0.75);
  expect(toggle({ a: 0.5, b: 0.5 }, 'b')).toBe('a');
  expect(toggle('a', 'a')).toBe('a');
});

test('a weight moves the others, and the sum stays 1', () => {
  const mixed = weigh({ a: 0.5, b: 0.3, c: 0.2 }, 'a', 0);
  expect(mixed).toEqual({ a: 0, b: 0.6, c: 0.4 });
  expect(weigh({ a: 1, b: 0 }, 'a', 0.4)).toEqual({ a: 0.4, b: 0.6 });
  expect(weigh({ a: 0, b: 0, c: 1 }, 'c', 0.5)).toEqual({ a: 0.25, b: 0.25, c: 0.5 });
});

test('a mixture is written as the server reads it, and read again', () => {
  expect(write('a')).toBe('a');
  expect(write({ a: 1 / 3, b: 2 / 3 })).toBe('a:0.33,b:0.67');
  expect(read('a')).toBe('a');
  expect(read('a:0.25,b:0.75')).toEqual({ a: 0.25, b: 0.75 });
  expect(read('a,b')).toEqual({ a: 0.5, b: 0.5 });
  expect(read('a:x,b:9')).toEqual({ a: 0.5, b: 0.5 });
});
