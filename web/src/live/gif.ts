/** Some seconds of a video as a GIF that loops; loaded when the first one is made. */

import { applyPalette, GIFEncoder, quantize } from 'gifenc';

const LONGEST_PX = 400; // a GIF of three seconds is then some 2 MB
const COLORS = 256;

export class Gif {
  #frames: Uint8ClampedArray[] = [];
  #canvas = document.createElement('canvas');

  /** `mirror`: left and right change places, as they do on the screen. */
  constructor(
    readonly video: HTMLVideoElement,
    readonly mirror: boolean,
  ) {}

  /** Take what is shown now; what comes after a change of its size is fitted to the first size. */
  take(): void {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (width === 0) return;
    const canvas = this.#canvas;
    if (this.#frames.length === 0) {
      const scale = Math.min(1, LONGEST_PX / Math.max(width, height));
      [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    }
    const context = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
    if (!context) return;
    if (this.mirror) context.setTransform(-1, 0, 0, 1, canvas.width, 0);
    context.drawImage(this.video, 0, 0, canvas.width, canvas.height);
    this.#frames.push(context.getImageData(0, 0, canvas.width, canvas.height).data);
  }

  /** All that was taken, each shown for `delay_ms`, over and over; null when there was nothing. */
  async file(delay_ms: number): Promise<Blob | null> {
    if (this.#frames.length === 0) return null;
    const gif = GIFEncoder();
    for (const frame of this.#frames) {
      const palette = quantize(frame, COLORS);
      const { width, height } = this.#canvas;
      gif.writeFrame(applyPalette(frame, palette), width, height, { palette, delay: delay_ms });
      await new Promise((resolve) => setTimeout(resolve)); // the page goes on between two of them
    }
    gif.finish();
    return new Blob([gif.bytes()], { type: 'image/gif' });
  }
}
