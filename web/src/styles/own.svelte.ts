/** A painting of one's own, which becomes a style. */

import type { Session } from '../live/session.svelte';
import { ask, Failure } from '../rtc/failure';
import type { StyleInfo } from '../rtc/protocol';
import type { Thumbs } from './thumbnails.svelte';

/** Have the server make the painting a style. */
export type Send = (painting: File) => Promise<StyleInfo>;

export class OwnStyle {
  busy = $state(false);
  failure = $state.raw<Failure | null>(null);

  constructor(
    readonly session: Session,
    readonly thumbs: Thumbs,
    readonly send: Send = sendTo,
  ) {}

  /** Make it a style, show it in the gallery, and take it; one at a time. */
  async add(painting: File): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.failure = null;
    try {
      const style = await this.send(painting);
      this.session.learn(style);
      this.session.set({ style: style.name });
      void this.thumbs.add(style);
    } catch (error) {
      this.failure = Failure.from(error);
    } finally {
      this.busy = false;
    }
  }
}

/** `POST /styles`. Throws Failure. */
async function sendTo(painting: File): Promise<StyleInfo> {
  const body = new FormData();
  body.set('image', painting);
  return (await ask('/styles', { method: 'POST', body })).json();
}
