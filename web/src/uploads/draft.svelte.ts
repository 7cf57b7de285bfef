/** A film that was chosen and is not painted yet: its first frame, in several styles. */

import { stylize } from '../rtc/api';
import type { Look, Style } from '../rtc/protocol';
import { fileLook, write } from '../styles/blend';
import { Film } from './film';

const FRAME_PX = 360;

export class Draft {
  /** Painted first frames by style, as `write` has it. */
  urls = $state<Record<string, string>>({});
  /** The first frame as it is; null: this browser cannot show the film. */
  frame = $state.raw<Blob | null>(null);
  read = $state(false);

  #film: Film;
  #run = new AbortController();
  #painting: Promise<void> = Promise.resolve();
  #asked = new Map<string, string>();

  constructor(readonly file: File) {
    this.#film = new Film(file);
    void this.#film.frame(0, FRAME_PX).then((frame) => {
      this.frame = frame;
      this.read = true;
    });
  }

  /** Paint the first frame with this look in each of these styles, one after the other. */
  paint(look: Look, styles: readonly Style[]): void {
    const { frame } = this;
    if (!frame) return;
    for (const style of styles) {
      const key = write(style);
      const wanted = fileLook({ ...look, style });
      const asked = JSON.stringify(wanted);
      if (key === '' || this.#asked.get(key) === asked) continue;
      this.#asked.set(key, asked);
      this.#painting = this.#painting.then(async () => {
        if (this.#asked.get(key) !== asked || this.#run.signal.aborted) return;
        const painted = await stylize(frame, wanted, this.#run.signal).catch(() => null);
        if (!painted || this.#run.signal.aborted) return;
        const old = this.urls[key];
        this.urls[key] = URL.createObjectURL(painted);
        if (old) URL.revokeObjectURL(old);
      });
    }
  }

  close(): void {
    this.#run.abort();
    this.#film.close();
    for (const url of Object.values(this.urls)) URL.revokeObjectURL(url);
  }
}
