import { beforeEach, expect, test, vi } from 'vitest';
import type { stylize } from '../../src/rtc/api';
import { Failure } from '../../src/rtc/failure';
import { Thumbnails } from '../../src/styles/thumbnails.svelte';

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

test('every style is sent, one at a time, and the original stays as it is', async () => {
  const asked: string[] = [];
  let under_way = 0;
  const thumbnails = new Thumbnails(async (_, { style }) => {
    asked.push(style);
    expect(++under_way).toBe(1);
    await Promise.resolve();
    under_way--;
    return PICTURE;
  });
  await thumbnails.refresh(PICTURE, STYLES);
  expect(asked).toEqual(['a', 'b']);
  expect(Object.keys(thumbnails.urls)).toEqual(['none', 'a', 'b']);
  await thumbnails.refresh(PICTURE, STYLES);
  expect(revoked).toEqual(['blob:0', 'blob:1', 'blob:2']);
});

test('a server that is starting is asked again, a style that fails is left out', async () => {
  const send = vi.fn<typeof stylize>(async (_, { style }) => {
    if (style === 'a' && send.mock.calls.length < 3) throw new Failure('not_ready', '', 3);
    if (style === 'b') throw new Failure('refused');
    return PICTURE;
  });
  const slept: number[] = [];
  const thumbnails = new Thumbnails(send, async (seconds) => void slept.push(seconds));
  await thumbnails.refresh(PICTURE, STYLES);
  expect(slept).toEqual([3, 3]);
  expect(Object.keys(thumbnails.urls)).toEqual(['none', 'a']);
  expect(thumbnails.busy).toBe(false);
});

test('another picture ends the round of the previous one', async () => {
  const asked: Blob[] = [];
  let go = () => {};
  const thumbnails = new Thumbnails(async (picture) => {
    asked.push(picture);
    if (asked.length === 1)
      await new Promise<void>((resolve) => {
        go = resolve;
      });
    return picture;
  });
  const first = thumbnails.refresh(PICTURE, STYLES);
  const other = new Blob(['other']);
  const second = thumbnails.refresh(other, STYLES);
  go();
  await Promise.all([first, second]);
  expect(asked).toEqual([PICTURE, other, other]);
});

test('one more style gets the same picture, ahead of those still waiting', async () => {
  const asked: string[] = [];
  const mine = { name: 'mine', title: 'Mine', model: '' };
  const thumbnails = new Thumbnails(async (picture, { style }) => {
    asked.push(style);
    if (style === 'a') await thumbnails.add(mine);
    return picture;
  });
  await thumbnails.add(mine); // no picture yet
  expect([asked, thumbnails.started]).toEqual([[], false]);
  await thumbnails.refresh(PICTURE, STYLES);
  expect(asked).toEqual(['a', 'mine', 'b']);
  await thumbnails.add({ ...mine, name: 'other' });
  expect(asked.at(-1)).toBe('other');
  expect(Object.keys(thumbnails.urls).sort()).toEqual(['a', 'b', 'mine', 'none', 'other']);
});

test('a style that was just added stays first when another picture comes meanwhile', async () => {
  const asked: string[] = [];
  let go = () => {};
  const thumbnails = new Thumbnails(async (picture, { style }) => {
    asked.push(style);
    if (asked.length === 1)
      await new Promise<void>((resolve) => {
        go = resolve;
      });
    return picture;
  });
  await thumbnails.refresh(PICTURE, []);
  const own = { name: 'own', title: 'own', model: '' };
  const first = thumbnails.add(own);
  const second = thumbnails.refresh(new Blob(['other']), [...STYLES, own]);
  go();
  await Promise.all([first, second]);
  expect(asked).toEqual(['own', 'own', 'a', 'b']);
});
