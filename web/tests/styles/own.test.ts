import { beforeEach, expect, test, vi } from 'vitest';
import { type Dependencies, Session } from '../../src/live/session.svelte';
import { Failure } from '../../src/rtc/failure';
import { OwnStyle } from '../../src/styles/own.svelte';
import { Thumbnails } from '../../src/styles/thumbnails.svelte';

const STYLES = ['none', 'mosaic'].map((name) => ({ name, title: name, model: '' }));
const MINE = { name: 'mine', title: 'Mine', model: 'mine' };
const PICTURE = new File(['picture'], 'mine.png');

beforeEach(() => {
  vi.stubGlobal('URL', { createObjectURL: () => 'blob:', revokeObjectURL: () => {} });
});

async function gallery() {
  const stylized: string[] = [];
  const catalogue = async () => ({ default: 'mosaic', styles: STYLES });
  const session = new Session({}, { catalogue } as unknown as Dependencies);
  await session.load(new AbortController().signal);
  const thumbnails = new Thumbnails(async (picture, { style }) => {
    stylized.push(style);
    return picture;
  });
  return { session, thumbnails, stylized };
}

test('a picture becomes a style that is listed, shown and chosen', async () => {
  const { session, thumbnails, stylized } = await gallery();
  await thumbnails.refresh(PICTURE, STYLES);
  const sent: File[] = [];
  const own = new OwnStyle(session, thumbnails, async (picture) => {
    sent.push(picture);
    expect(own.busy).toBe(true);
    await own.add(PICTURE); // one at a time
    return MINE;
  });
  await own.add(PICTURE);
  await vi.waitFor(() => expect(stylized).toEqual(['mosaic', 'mine']));
  expect(sent).toEqual([PICTURE]);
  expect(session.catalogue?.styles.map(({ name }) => name)).toEqual(['none', 'mosaic', 'mine']);
  expect(session.look.style).toBe('mine');
  expect([own.busy, own.failure]).toEqual([false, null]);
});

test('a refusal leaves the look as it was, and goes with the next try', async () => {
  const { session, thumbnails } = await gallery();
  const send = vi.fn(async () => MINE);
  send.mockRejectedValueOnce(new Failure('refused', 'install any-style'));
  const own = new OwnStyle(session, thumbnails, send);
  await own.add(PICTURE);
  expect(own.failure?.detail).toBe('install any-style');
  expect([own.busy, session.look.style]).toEqual([false, 'mosaic']);
  await own.add(PICTURE);
  expect([own.failure, session.look.style]).toEqual([null, 'mine']);
});
