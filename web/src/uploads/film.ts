/** Single frames of a film that the browser can play. */

import { capture } from '../ui/save';

const LOAD_MS = 8000;

export class Film {
  #video = document.createElement('video');
  readonly url: string;

  constructor(readonly file: File) {
    this.url = URL.createObjectURL(file);
    this.#video.muted = true;
    this.#video.preload = 'auto';
    this.#video.src = this.url;
  }

  /** The frame at a share of the length, as a JPEG; null when this browser cannot show it. */
  async frame(share: number, height_px: number): Promise<Blob | null> {
    const video = this.#video;
    try {
      if (video.readyState < HTMLMediaElement.HAVE_METADATA) await happens(video, 'loadedmetadata');
      const length_s = Number.isFinite(video.duration) ? video.duration : 0;
      video.currentTime = Math.max(0.001, Math.min(share * length_s, length_s - 0.05));
      await happens(video, 'seeked');
      return await capture(video, { height_px, type: 'image/jpeg' });
    } catch {
      return null;
    }
  }

  close(): void {
    this.#video.removeAttribute('src');
    this.#video.load();
    URL.revokeObjectURL(this.url);
  }
}

function happens(video: HTMLVideoElement, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    video.addEventListener(what, () => resolve(), { once: true });
    video.addEventListener('error', () => reject(video.error), { once: true });
    setTimeout(reject, LOAD_MS, new Error(`no ${what}`));
  });
}
