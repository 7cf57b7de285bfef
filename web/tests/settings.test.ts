import { expect, test } from 'vitest';
import type { Look } from '../src/protocol';
import { loadLook, writeLook } from '../src/settings';

const LOOK: Look = { style: 'mosaic', strength: 1, preserve_color: false, height_px: 'auto' };

test('a look survives the URL', () => {
  const look = { ...LOOK, strength: 0.4, preserve_color: true };
  expect(loadLook(writeLook(look, ''))).toEqual({
    style: 'mosaic',
    strength: 0.4,
    preserve_color: true,
  });
});

test('what is as usual stays out of the URL, what is not ours stays in', () => {
  expect(writeLook(LOOK, '?strength=0.2&other=1')).toBe('other=1&style=mosaic');
});

test.each(['?strength=2', '?strength=x', '?strength=-1', '?strength=', ''])(
  '%j is as usual',
  (query) => {
    expect(loadLook(query)).toEqual({});
  },
);
