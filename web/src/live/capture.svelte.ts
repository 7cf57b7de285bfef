/** Pictures and clips of what is live: taken, kept in this tab, saved, shared and copied. */

import { stylize } from '../rtc/api';
import { type Sleep, sleep } from '../rtc/retry';
import { fileLook, write } from '../styles/blend';
import { capture, fileName, save } from '../ui/save';
import { compose, composed, type Way } from './compose';
import { Recorder } from './recorder.svelte';
import type { Session } from './session.svelte';

const MOST = 16; // kept; the oldest goes
const BURST = 4;
const BURST_S = 0.4;
const [LOOP_S, LOOP_FPS] = [3, 10];
const FILM_S = 4;
const PHOTO_MS = 2500; // a camera that takes no photo by then gives its video frame

/** The picture elements of the stage. */
export interface Screen {
  camera: HTMLVideoElement;
  painting: HTMLVideoElement;
}

export interface Shot {
  id: number;
  kind: 'picture' | 'clip';
  url: string;
  file: Blob;
  name: string;
  /** As the camera saw it; null: a clip. */
  original: Blob | null;
  /** It is still being painted at its full size. */
  busy: boolean;
}

export class Capture {
  /** Newest first. */
  shots = $state<Shot[]>([]);
  /** Seconds until the picture is taken. */
  countdown = $state(0);
  /** Grows with every picture taken. */
  flashes = $state(0);
  /** A clip that ends by itself is being recorded. */
  clipping = $state(false);

  readonly recorder = new Recorder((file, name) => {
    this.#add({ kind: 'clip', file, name, original: null });
    save(file, name); // a tab may be closed, and a recording is work
  });

  #clips = new Recorder((file, name) => this.#add({ kind: 'clip', file, name, original: null }));
  #next = 1;
  #waiting: AbortController | null = null;
  #painting: Promise<void> = Promise.resolve();

  constructor(
    readonly session: Session,
    readonly screen: () => Screen,
    readonly wait: Sleep = sleep,
  ) {}

  /** Take one picture or four; a second call while it counts down calls it off. */
  async shoot(options: { timer_s: number; burst: boolean; mirror: boolean }): Promise<void> {
    if (this.#waiting) return this.#waiting.abort();
    const waiting = new AbortController();
    this.#waiting = waiting;
    try {
      for (this.countdown = options.timer_s; this.countdown > 0; this.countdown--)
        await this.wait(1, waiting.signal);
      for (let n = options.burst ? BURST : 1; n > 0; n--) {
        await this.#shoot(options.mirror);
        if (n > 1) await this.wait(BURST_S, waiting.signal);
      }
    } catch (error) {
      if (!waiting.signal.aborted) throw error;
    } finally {
      this.countdown = 0;
      this.#waiting = null;
    }
  }

  /** Start recording, or stop. */
  record(both: boolean): void {
    if (this.recorder.running) {
      this.recorder.stop();
      return;
    }
    const { input, output, look } = this.session;
    if (!output) return;
    const streams = { [write(look.style)]: output };
    if (both && input) streams.camera = input;
    this.recorder.start(streams);
  }

  /** A short clip: a GIF of the painting, which loops wherever it is shown, or a film of both. */
  async clip(way: 'loop' | Way, mirror = false): Promise<void> {
    const { output, look } = this.session;
    if (this.clipping || !output) return;
    this.clipping = true;
    const label = `${write(look.style)}-${way}`;
    try {
      if (way === 'loop') await this.#loop(label, mirror);
      else await this.#film(label, way);
    } finally {
      this.clipping = false;
    }
  }

  /** A picture of the shot as it was and as it is: side by side, or divided at a share. */
  async pair(shot: Shot, at: number | null): Promise<void> {
    if (!shot.original) return;
    const [before, after] = await Promise.all(
      [shot.original, shot.file].map((file) => createImageBitmap(file)),
    );
    const file = before && after && (await compose(before, after, at));
    const name = shot.name.replace(/(\.\w+)$/, '-before-after.jpg');
    if (file) this.#add({ kind: 'picture', file, name, original: null });
  }

  remove(shot: Shot): void {
    URL.revokeObjectURL(shot.url);
    this.shots = this.shots.filter(({ id }) => id !== shot.id);
  }

  async #loop(label: string, mirror: boolean): Promise<void> {
    const { Gif } = await import('./gif');
    const gif = new Gif(this.screen().painting, mirror);
    const until = new AbortController().signal;
    for (let taken = 0; taken < LOOP_S * LOOP_FPS; taken++) {
      gif.take();
      await this.wait(1 / LOOP_FPS, until);
    }
    const file = await gif.file(1000 / LOOP_FPS);
    if (file) this.#add({ kind: 'picture', file, name: fileName(label, 'gif'), original: null });
  }

  async #film(label: string, way: Way): Promise<void> {
    const { camera, painting } = this.screen();
    const both = composed(camera, painting, way, FILM_S);
    try {
      this.#clips.start({ [label]: both.stream });
      await this.wait(FILM_S, new AbortController().signal);
    } finally {
      this.#clips.stop();
      both.close();
    }
  }

  async #shoot(mirror: boolean): Promise<void> {
    const { camera, painting } = this.screen();
    const shown = await capture(painting, { mirror, type: 'image/jpeg' });
    if (!shown) return;
    this.flashes++;
    const look = $state.snapshot(this.session.look);
    const name = fileName(write(look.style), 'jpg');
    const shot = this.#add({ kind: 'picture', file: shown, name, original: null }, true);
    const photo = this.#photo();
    const frame = await capture(camera, { mirror, type: 'image/jpeg' });
    // One after the other: the ring paints the live picture meanwhile.
    this.#painting = this.#painting.then(async () => {
      try {
        const bitmap = await photo;
        const original = bitmap ? await capture(bitmap, { mirror, type: 'image/jpeg' }) : frame;
        bitmap?.close();
        if (!original) return;
        this.#change(shot, { original });
        const file = await stylize(original, fileLook(look), AbortSignal.timeout(60_000));
        this.#change(shot, { file, url: URL.createObjectURL(file) });
        URL.revokeObjectURL(shot.url);
      } catch {
        // the server is busy or away: what was on the screen is what there is
      } finally {
        this.#change(shot, { busy: false });
      }
    });
  }

  /** What the camera gives at its full size, where the browser and the camera can. */
  async #photo(): Promise<ImageBitmap | null> {
    const [track] = this.session.input?.getVideoTracks() ?? [];
    if (!track || this.session.wanted.kind !== 'camera' || !('ImageCapture' in window)) return null;
    const taken = new ImageCapture(track).takePhoto().then((photo) => createImageBitmap(photo));
    const late = new Promise<null>((resolve) => setTimeout(resolve, PHOTO_MS, null));
    return Promise.race([taken, late]).catch(() => null);
  }

  #add(shot: Omit<Shot, 'id' | 'url' | 'busy'>, busy = false): Shot {
    const added = { ...shot, busy, id: this.#next++, url: URL.createObjectURL(shot.file) };
    for (const { url } of this.shots.slice(MOST - 1)) URL.revokeObjectURL(url);
    this.shots = [added, ...this.shots.slice(0, MOST - 1)];
    return added;
  }

  #change({ id }: Shot, change: Partial<Shot>): void {
    this.shots = this.shots.map((shot) => (shot.id === id ? { ...shot, ...change } : shot));
  }
}
