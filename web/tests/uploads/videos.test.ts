import { afterEach, expect, test, vi } from 'vitest';
import { backOff_s } from '../../src/rtc/retry';
import { Video, Videos } from '../../src/uploads/videos.svelte';

const REPORT = { frames: 30, total: 120, fps: 12, eta_s: 7.5, message: '' };
const answer = (state: string) => Response.json({ ...REPORT, state });

afterEach(() => vi.unstubAllGlobals());

/** One video that a reload left behind; `answers` are the server's, in turn. */
function restored(answers: (() => Response | Promise<Response>)[]) {
  const asked: [string, string][] = [];
  const slept_s: number[] = [];
  vi.stubGlobal('sessionStorage', { getItem: () => '[["a.mp4", "/videos/x"]]', setItem() {} });
  vi.stubGlobal('fetch', async (url: string, options?: RequestInit) => {
    asked.push([options?.method ?? 'GET', url]);
    const next = answers.shift();
    return next ? next() : new Promise(() => {});
  });
  const videos = new Videos(async (seconds) => void slept_s.push(seconds));
  videos.restore();
  const [video] = videos.all;
  if (!video) throw new Error('nothing restored');
  return { videos, video, asked, slept_s };
}

test('a video shows its progress when the server knows it', () => {
  const video = new Video('a.mp4', '/videos/x');
  video.take({ ...REPORT, state: 'stylizing' });
  expect(video).toMatchObject({ state: 'stylizing', progress: 0.25 });
  video.take({ ...REPORT, state: 'stylizing', total: 0 });
  expect(video.progress).toBeNull();
  video.take({ ...REPORT, state: 'failed', message: 'no video stream' });
  expect(video.failure).toMatchObject({ reason: 'refused', detail: 'no video stream' });
});

test('a video is followed to its end and not asked for again', async () => {
  const { video, asked, slept_s } = restored([() => answer('stylizing'), () => answer('done')]);
  await vi.waitFor(() => expect(video.state).toBe('done'));
  await new Promise((resolve) => setTimeout(resolve));
  expect(asked).toEqual([
    ['GET', '/videos/x'],
    ['GET', '/videos/x'],
  ]);
  expect(slept_s).toEqual([0.7]);
});

test('a server that is away is asked ever more rarely', async () => {
  const away = () => Promise.reject(new TypeError('Failed to fetch'));
  const { video, slept_s } = restored([
    ...Array.from({ length: 6 }, () => away),
    () => answer('stylizing'),
    () => new Response('', { status: 404 }),
  ]);
  await vi.waitFor(() => expect(video.state).toBe('failed'));
  expect(slept_s).toEqual([...[1, 2, 3, 4, 5, 6].map(backOff_s), 0.7]);
  expect(slept_s[5]).toBe(8);
});

test('a removed video is cancelled on the server and not asked for again', async () => {
  const { videos, video, asked } = restored([() => answer('stylizing')]);
  await vi.waitFor(() => expect(asked).toHaveLength(2));
  void videos.remove(video);
  expect(videos.all).toEqual([]);
  expect(video.run.signal.aborted).toBe(true);
  expect(asked.at(-1)).toEqual(['DELETE', '/videos/x']);
  await new Promise((resolve) => setTimeout(resolve));
  expect([video.state, asked.length]).toEqual(['cancelled', 3]);
});
