/** One photo on the desk: as it came, and painted. */

import { Failure } from '../rtc/failure';
import type { Look } from '../rtc/protocol';
import { write } from '../styles/blend';
import { paintAt, THUMB_PX } from '../styles/thumbnails.svelte';
import { type Drawn, take } from '../ui/save';

const PAUSE_MS = 150; // a slider that is being dragged does not ask for every step

export class PhotoDesk {
  original = $state<string | null>(null);
  painted = $state<string | null>(null);
  busy = $state(false);
  failure = $state.raw<Failure | null>(null);
  name = $state('');

  #file: Blob | null = null;
  #run: AbortController | null = null;

  /** Put another photo on the desk; a small copy of it, or null when the browser cannot read it. */
  async load(file: File | Blob): Promise<Blob | null> {
    this.close();
    this.name = (file instanceof File ? file.name : 'photo').replace(/\.\w+$/, '');
    let picture: Drawn;
    try {
      picture = await createImageBitmap(file);
    } catch {
      this.failure = new Failure('no_picture');
      return null;
    }
    this.#file = file;
    this.original = URL.createObjectURL(file);
    return take(picture, { height_px: THUMB_PX, type: 'image/jpeg' });
  }

  /** Paint it like this; a newer call ends this one. */
  async paint(look: Pick<Look, 'style' | 'strength' | 'preserve_color'>): Promise<void> {
    const file = this.#file;
    if (!file || look.style === '') return;
    this.#run?.abort();
    const run = new AbortController();
    this.#run = run;
    this.busy = true;
    try {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      run.signal.throwIfAborted();
      const query = `?strength=${look.strength}&preserve_color=${look.preserve_color}`;
      const painted = await paintAt(file, write(look.style), run.signal, query);
      if (run.signal.aborted) return;
      this.#show(URL.createObjectURL(painted));
      this.failure = null;
    } catch (error) {
      if (!run.signal.aborted) this.failure = Failure.from(error);
    } finally {
      if (this.#run === run) this.busy = false;
    }
  }

  /** Take the photo off the desk. */
  close(): void {
    this.#run?.abort();
    this.#file = this.failure = null;
    if (this.original) URL.revokeObjectURL(this.original);
    this.original = null;
    this.busy = false;
    this.#show(null);
  }

  #show(url: string | null): void {
    if (this.painted) URL.revokeObjectURL(this.painted);
    this.painted = url;
  }
}
