/** A small picture in every style, one request at a time. */

import { stylize } from '../rtc/api';
import { Failure } from '../rtc/failure';
import type { StyleInfo } from '../rtc/protocol';
import { type Sleep, sleep } from '../rtc/retry';

/** One size for all: a network is compiled anew for each other one. */
export const THUMBNAIL = { height_px: 180, aspect: 8 / 5, type: 'image/jpeg' } as const;
const MOST_TRIES = 20; // a server that warms up

export class Thumbnails {
  /** Object URLs by style. */
  urls = $state<Record<string, string>>({});
  busy = $state(false);

  #run: AbortController | null = null;
  #picture: Blob | null = null;
  #left: StyleInfo[] = [];
  #added: StyleInfo[] = []; // first, whichever picture

  constructor(
    readonly send: typeof stylize = stylize,
    readonly wait: Sleep = sleep,
  ) {}

  /** Whether there is a picture to stylize. */
  get started(): boolean {
    return this.#picture !== null;
  }

  /**
   * Replace every thumbnail by this picture in its style; a newer call ends this one. After each
   * it rests, so that what is live is not held up.
   */
  async refresh(picture: Blob, styles: readonly StyleInfo[], rest_s = 0): Promise<void> {
    this.#run?.abort();
    const run = new AbortController();
    this.#run = run;
    this.#picture = picture;
    const added = new Set(this.#added.map(({ name }) => name));
    this.#left = [...this.#added, ...styles.filter(({ name }) => !added.has(name))];
    this.busy = true;
    try {
      for (let style = this.#left.shift(); style; style = this.#left.shift()) {
        const { name } = style;
        const stylized = name === 'none' ? picture : await this.#try(picture, name, run.signal);
        if (run.signal.aborted) return;
        this.#added = this.#added.filter((one) => one.name !== name);
        if (stylized) this.#show(name, stylized);
        if (rest_s > 0) await this.wait(rest_s, run.signal);
      }
    } catch (error) {
      if (!run.signal.aborted) throw error;
    } finally {
      if (this.#run === run) this.busy = false;
    }
  }

  /** Leave the rest out, for what is more urgent. */
  stop(): void {
    this.#run?.abort();
    this.#left = [];
    this.busy = false;
  }

  /** One more style, ahead of those still waiting, also when another picture comes meanwhile. */
  async add(style: StyleInfo): Promise<void> {
    if (!this.#picture) return;
    this.#added.push(style);
    if (this.busy) this.#left.unshift(style);
    else await this.refresh(this.#picture, [style]);
  }

  /** Null when the style fails; it keeps its old thumbnail. A busy server is asked again. */
  async #try(picture: Blob, style: string, signal: AbortSignal): Promise<Blob | null> {
    for (let tries = 0; tries < MOST_TRIES && !signal.aborted; tries++) {
      try {
        return await this.send(picture, { style }, signal);
      } catch (error) {
        const failure = Failure.from(error);
        if (signal.aborted || !failure.passes(true)) return null;
        await this.wait(failure.retryAfter_s || 1, signal).catch(() => {});
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
