/** A small picture painted in every style, one request at a time. */

import { ask, Failure } from '../rtc/failure';
import type { StyleInfo } from '../rtc/protocol';

export const THUMB_PX = 144;
const MOST_TRIES = 20; // a server that warms up

/** Paint a picture in one style. */
export type Paint = (picture: Blob, style: string, signal: AbortSignal) => Promise<Blob>;

export class Thumbs {
  /** Object URLs by style. */
  urls = $state<Record<string, string>>({});
  busy = $state(false);

  #run: AbortController | null = null;
  #picture: Blob | null = null;
  #left: StyleInfo[] = [];

  constructor(
    readonly paint: Paint = paintAt,
    readonly sleep = (seconds: number) =>
      new Promise((resolve) => setTimeout(resolve, 1000 * seconds)),
  ) {}

  /** Whether there is a picture to paint. */
  get started(): boolean {
    return this.#picture !== null;
  }

  /** Replace every thumbnail by this picture in its style; a newer call ends this one. */
  async refresh(picture: Blob, styles: readonly StyleInfo[]): Promise<void> {
    this.#run?.abort();
    const run = new AbortController();
    this.#run = run;
    this.#picture = picture;
    this.#left = [...styles];
    this.busy = true;
    try {
      for (let style = this.#left.shift(); style; style = this.#left.shift()) {
        const { name } = style;
        const painted = name === 'none' ? picture : await this.#try(picture, name, run.signal);
        if (run.signal.aborted) return;
        if (painted) this.#show(name, painted);
      }
    } finally {
      if (this.#run === run) this.busy = false;
    }
  }

  /** One style more for the picture there is, before those that still wait. */
  async add(style: StyleInfo): Promise<void> {
    if (this.busy) this.#left.unshift(style);
    else if (this.#picture) await this.refresh(this.#picture, [style]);
  }

  /** A style that cannot be had keeps the thumbnail it has; only waiting helps a busy server. */
  async #try(picture: Blob, style: string, signal: AbortSignal): Promise<Blob | null> {
    for (let tries = 0; tries < MOST_TRIES && !signal.aborted; tries++) {
      try {
        return await this.paint(picture, style, signal);
      } catch (error) {
        const failure = Failure.from(error);
        if (signal.aborted || !failure.passes(true)) return null;
        await this.sleep(failure.retryAfter_s || 1);
      }
    }
    return null;
  }

  #show(style: string, picture: Blob): void {
    const old = this.urls[style];
    this.urls[style] = URL.createObjectURL(picture);
    if (old) URL.revokeObjectURL(old);
  }
}

/** `POST /stylize/{style}`. Throws Failure. */
export async function paintAt(
  picture: Blob,
  style: string,
  signal: AbortSignal,
  query = '',
): Promise<Blob> {
  const body = new FormData();
  body.set('image', picture, 'picture');
  const url = `/stylize/${encodeURIComponent(style)}${query}`;
  return (await ask(url, { method: 'POST', body, signal })).blob();
}
