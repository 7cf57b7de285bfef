import { expect, test } from 'vitest';
import type { Look } from '../src/rtc/protocol';
import { loadLook, loadView, VIEW, type View, writeQuery } from '../src/settings';

const LOOK: Look = {
  style: 'mosaic',
  strength: 1,
  preserve_color: false,
  smooth: null,
  tone: null,
  brush: null,
};

test('a look survives the URL', () => {
  const look: Look = {
    style: { a: 0.75, b: 0.25 },
    strength: 0.4,
    preserve_color: true,
    smooth: 0.5,
    tone: 0.25,
    brush: 'bold',
  };
  expect(loadLook(writeQuery(look, VIEW, ''))).toEqual(look);
});

test('so does the view', () => {
  const view: View = { tab: 'photo', compare: 'divider', mirror: true, stats: true, kiosk: true };
  expect(loadView(writeQuery(LOOK, view, ''))).toEqual(view);
  expect(loadView('?tab=nonsense&camera=')).toEqual(VIEW);
});

test('what is as usual stays out of the URL, what is not ours stays in', () => {
  expect(writeQuery(LOOK, VIEW, '?strength=0.2&other=1&mirror=1')).toBe('other=1&style=mosaic');
});

test.each(['?strength=2', '?strength=x', '?strength=-1', '?tone=2', '?tone=x', '?brush=x', ''])(
  '%j is as usual',
  (query) => {
    expect(loadLook(query)).toEqual({});
  },
);
