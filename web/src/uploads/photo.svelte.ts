/** A photo as it was taken, and stylized. */

import { stylize } from '../rtc/api';
import { Failure } from '../rtc/failure';
import type { Look } from '../rtc/protocol';
import { sleep } from '../rtc/retry';
import { fileLook } from '../styles/blend';
import { THUMBNAIL } from '../styles/thumbnails.svelte';
import { capture } from '../ui/save';

const SETTLE_S = 0.15; // a slider that is being dragged does not send every step

export class PhotoUpload {
  original = $state<string | null>(null);
  stylized = $state<string | null>(null);
  busy = $state(false);
  failure = $state.raw<Failure | null>(null);
  name = $state('');

  #file: Blob | null = null;
  #run: AbortController | null = null;

  /** Take another photo; a small copy of it, or null when nobody can read it. */
  async load(file: File): Promise<Blob | null> {
    this.close();
    this.name = file.name.replace(/\.\w+$/, '');
    this.busy = true;
    const shown = await this.#readable(file);
    this.busy = false;
    if (!shown) {
      this.failure = new Failure('no_picture');
      return null;
    }
    this.#file = file;
    this.original = URL.createObjectURL(shown.file);
    return capture(shown.picture, THUMBNAIL);
  }

  /** The file, or what the server makes of one that only it can read: the HEIC of a phone. */
  async #readable(file: File): Promise<{ file: Blob; picture: ImageBitmap } | null> {
    try {
      return { file, picture: await createImageBitmap(file) };
    } catch {
      // not for this browser
    }
    try {
      const jpeg = await stylize(file, { style: 'none' }, AbortSignal.timeout(60_000));
      return { file: jpeg, picture: await createImageBitmap(jpeg) };
    } catch {
      return null;
    }
  }

  /** Stylize it with this look; a newer call ends this one. */
  async stylize(look: Look): Promise<void> {
    const file = this.#file;
    if (!file || look.style === '') return;
    this.#run?.abort();
    const run = new AbortController();
    this.#run = run;
    this.busy = true;
    try {
      await sleep(SETTLE_S, run.signal);
      const stylized = await stylize(file, fileLook(look), run.signal);
      if (run.signal.aborted) return;
      this.#show(URL.createObjectURL(stylized));
      this.failure = null;
    } catch (error) {
      if (!run.signal.aborted) this.failure = Failure.from(error);
    } finally {
      if (this.#run === run) this.busy = false;
    }
  }

  close(): void {
    this.#run?.abort();
    this.#file = this.failure = null;
    if (this.original) URL.revokeObjectURL(this.original);
    this.original = null;
    this.busy = false;
    this.#show(null);
  }

  #show(url: string | null): void {
    if (this.stylized) URL.revokeObjectURL(this.stylized);
    this.stylized = url;
  }
}
