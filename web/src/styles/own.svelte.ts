/** A picture of one's own that becomes a style. */

import type { Session } from '../live/session.svelte';
import { addStyle, removeStyle, renameStyle } from '../rtc/api';
import { Failure } from '../rtc/failure';
import type { Thumbnails } from './thumbnails.svelte';

export class OwnStyle {
  busy = $state(false);
  failure = $state.raw<Failure | null>(null);

  constructor(
    readonly session: Session,
    readonly thumbnails: Thumbnails,
    readonly send: typeof addStyle = addStyle,
  ) {}

  /** Make it a style, show it in the gallery, and choose it; one at a time. */
  async add(picture: File): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.failure = null;
    try {
      const style = await this.send(picture);
      this.session.learn(style);
      this.session.set({ style: style.name });
      void this.thumbnails.add(style);
    } catch (error) {
      this.failure = Failure.from(error);
    } finally {
      this.busy = false;
    }
  }

  async rename(name: string, title: string): Promise<void> {
    await this.#try(async () => this.session.relearn(name, (await renameStyle(name, title)).title));
  }

  async remove(name: string): Promise<void> {
    await this.#try(async () => {
      await removeStyle(name);
      this.session.relearn(name, null);
    });
  }

  async #try(change: () => Promise<void>): Promise<void> {
    this.failure = null;
    try {
      await change();
    } catch (error) {
      this.failure = Failure.from(error);
    }
  }
}
