import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Capture } from '../../src/live/capture.svelte';
import { TYPES } from '../../src/live/recorder.svelte';
import type { Session } from '../../src/live/session.svelte';

const captured = vi.hoisted(() => ({ pictures: 0, fails: false }));
vi.mock('../../src/ui/save', () => ({
  capture: async () => new Blob([`picture ${++captured.pictures}`], { type: 'image/jpeg' }),
  fileName: (what: string, ending: string) => `${what}.${ending}`,
  save: vi.fn(),
}));
vi.mock('../../src/rtc/api', () => ({
  stylize: async () => {
    if (captured.fails) throw new Error('busy');
    return new Blob(['painted'], { type: 'image/jpeg' });
  },
}));

const LOOK = {
  style: 'ink',
  strength: 1,
  preserve_color: false,
  smooth: null,
  tone: null,
  brush: null,
};
let slept_s: number[];
let shots: Capture;
beforeEach(() => {
  captured.pictures = 0;
  captured.fails = false;
  slept_s = [];
  const session = { input: null, output: null, look: LOOK, wanted: { kind: 'sample' } };
  shots = new Capture(
    session as unknown as Session,
    () => ({ camera: {} as HTMLVideoElement, painting: {} as HTMLVideoElement }),
    async (seconds, signal) => {
      signal.throwIfAborted();
      slept_s.push(seconds);
    },
  );
});
afterEach(() => vi.restoreAllMocks());

const plain = { timer_s: 0, burst: false, mirror: false };
const texts = () => Promise.all(shots.shots.map(({ file }) => file.text()));

test('a picture is what was on the screen, then what the server painted of the camera', async () => {
  await shots.shoot(plain);
  expect(shots.shots).toHaveLength(1);
  await vi.waitFor(() => expect(shots.shots[0]?.busy).toBe(false));
  expect(await texts()).toEqual(['painted']);
  expect(await shots.shots[0]?.original?.text()).toBe('picture 2');
});

test('a server that is busy leaves what was on the screen', async () => {
  captured.fails = true;
  await shots.shoot(plain);
  await vi.waitFor(() => expect(shots.shots[0]?.busy).toBe(false));
  expect(await texts()).toEqual(['picture 1']);
});

test('it counts down, takes four, and keeps the newest in front', async () => {
  await shots.shoot({ timer_s: 3, burst: true, mirror: false });
  expect(slept_s).toEqual([1, 1, 1, 0.4, 0.4, 0.4]);
  expect(shots.shots.map(({ id }) => id)).toEqual([4, 3, 2, 1]);
  expect(shots.flashes).toBe(4);
});

test('a second press calls the countdown off', async () => {
  let go: () => void = () => {};
  const slow = new Capture(shots.session, shots.screen, (_, signal) => {
    return new Promise((resolve, reject) => {
      go = resolve;
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  });
  const first = slow.shoot({ ...plain, timer_s: 3 });
  await slow.shoot(plain);
  await first;
  go();
  expect([slow.shots.length, slow.countdown]).toEqual([0, 0]);
});

test('only so many are kept', async () => {
  for (let i = 0; i < 20; i++) await shots.shoot(plain);
  expect(shots.shots).toHaveLength(16);
  const [newest] = shots.shots;
  if (newest) shots.remove(newest);
  expect(shots.shots).toHaveLength(15);
});

test('H.264 comes first, and what may be VP9 in MP4 last', () => {
  expect(TYPES[0]).toBe('video/mp4;codecs=avc1.42E01F,mp4a.40.2');
  expect(TYPES.at(-1)).toBe('video/mp4');
});
