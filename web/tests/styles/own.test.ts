import { beforeEach, expect, test, vi } from 'vitest';
import { Session } from '../../src/live/session.svelte';
import { Failure } from '../../src/rtc/failure';
import { OwnStyle } from '../../src/styles/own.svelte';
import { Thumbs } from '../../src/styles/thumbnails.svelte';

const STYLES = ['none', 'mosaic'].map((name) => ({ name, title: name, model: '' }));
const MINE = { name: 'mine', title: 'Mine', model: 'mine' };
const PAINTING = new File(['painting'], 'mine.png');

beforeEach(() => {
  vi.stubGlobal('URL', { createObjectURL: () => 'blob:', revokeObjectURL: () => {} });
});

function world() {
  const painted: string[] = [];
  const session = new Session();
  session.catalogue = { default: 'mosaic', styles: STYLES };
  session.look.style = 'mosaic';
  const thumbs = new Thumbs(async (picture, style) => {
    painted.push(style);
    return picture;
  });
  return { session, thumbs, painted };
}

test('a painting becomes a style that is listed, shown and chosen', async () => {
  const { session, thumbs, painted } = world();
  await thumbs.refresh(PAINTING, STYLES);
  const sent: File[] = [];
  const own = new OwnStyle(session, thumbs, async (painting) => {
    sent.push(painting);
    expect(own.busy).toBe(true);
    await own.add(PAINTING); // one at a time
    return MINE;
  });
  await own.add(PAINTING);
  await vi.waitFor(() => expect(painted).toEqual(['mosaic', 'mine']));
  expect(sent).toEqual([PAINTING]);
  expect(session.catalogue?.styles.map(({ name }) => name)).toEqual(['none', 'mosaic', 'mine']);
  expect(session.look.style).toBe('mine');
  expect([own.busy, own.failure]).toEqual([false, null]);
});

test('a refusal leaves the look as it was, and goes with the next try', async () => {
  const { session, thumbs } = world();
  const send = vi.fn(async () => MINE);
  send.mockRejectedValueOnce(new Failure('refused', 'install any-style'));
  const own = new OwnStyle(session, thumbs, send);
  await own.add(PAINTING);
  expect(own.failure?.detail).toBe('install any-style');
  expect([own.busy, session.look.style]).toEqual([false, 'mosaic']);
  await own.add(PAINTING);
  expect([own.failure, session.look.style]).toEqual([null, 'mine']);
});
