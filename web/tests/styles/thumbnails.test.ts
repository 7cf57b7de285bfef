import { beforeEach, expect, test, vi } from 'vitest';
import { Failure } from '../../src/rtc/failure';
import { type Paint, Thumbs } from '../../src/styles/thumbnails.svelte';

const STYLES = ['none', 'a', 'b'].map((name) => ({ name, title: name, model: '' }));
const PICTURE = new Blob(['picture']);
let made = 0;
const revoked: string[] = [];

beforeEach(() => {
  made = 0;
  revoked.length = 0;
  vi.stubGlobal('URL', {
    createObjectURL: () => `blob:${made++}`,
    revokeObjectURL: (url: string) => revoked.push(url),
  });
});

test('every style is painted, one at a time, and the camera is as it comes', async () => {
  const asked: string[] = [];
  let under_way = 0;
  const thumbs = new Thumbs(async (_, style) => {
    asked.push(style);
    expect(++under_way).toBe(1);
    await Promise.resolve();
    under_way--;
    return PICTURE;
  });
  await thumbs.refresh(PICTURE, STYLES);
  expect(asked).toEqual(['a', 'b']);
  expect(Object.keys(thumbs.urls)).toEqual(['none', 'a', 'b']);
  await thumbs.refresh(PICTURE, STYLES);
  expect(revoked).toEqual(['blob:0', 'blob:1', 'blob:2']);
});

test('a server that warms up is asked again, a style that fails is left out', async () => {
  const paint = vi.fn<Paint>(async (_, style) => {
    if (style === 'a' && paint.mock.calls.length < 3) throw new Failure('not_ready', '', 3);
    if (style === 'b') throw new Failure('refused');
    return PICTURE;
  });
  const slept: number[] = [];
  const thumbs = new Thumbs(paint, async (seconds) => void slept.push(seconds));
  await thumbs.refresh(PICTURE, STYLES);
  expect(slept).toEqual([3, 3]);
  expect(Object.keys(thumbs.urls)).toEqual(['none', 'a']);
  expect(thumbs.busy).toBe(false);
});

test('another picture ends the round of the one before', async () => {
  const asked: Blob[] = [];
  let go = () => {};
  const thumbs = new Thumbs(async (picture) => {
    asked.push(picture);
    if (asked.length === 1)
      await new Promise<void>((resolve) => {
        go = resolve;
      });
    return picture;
  });
  const first = thumbs.refresh(PICTURE, STYLES);
  const other = new Blob(['other']);
  const second = thumbs.refresh(other, STYLES);
  go();
  await Promise.all([first, second]);
  expect(asked).toEqual([PICTURE, other, other]);
});

test('one style more is painted on the same picture, before those that still wait', async () => {
  const asked: string[] = [];
  const mine = { name: 'mine', title: 'Mine', model: '' };
  const thumbs = new Thumbs(async (picture, style) => {
    asked.push(style);
    if (style === 'a') await thumbs.add(mine);
    return picture;
  });
  await thumbs.add(mine); // nothing to paint yet
  expect([asked, thumbs.started]).toEqual([[], false]);
  await thumbs.refresh(PICTURE, STYLES);
  expect(asked).toEqual(['a', 'mine', 'b']);
  await thumbs.add({ ...mine, name: 'other' });
  expect(asked.at(-1)).toBe('other');
  expect(Object.keys(thumbs.urls).sort()).toEqual(['a', 'b', 'mine', 'none', 'other']);
});
