/** The camera and the painting in one picture, or in one clip. */

const FPS = 30;
const LINE_PX = 3; // of a picture of 720 lines

type Drawn = HTMLVideoElement | ImageBitmap;
export type Way = 'pair' | 'wipe';

const size = (from: Drawn) =>
  from instanceof HTMLVideoElement
    ? [from.videoWidth, from.videoHeight]
    : [from.width, from.height];

/** Both, beside each other or divided at a share of the width; null when one has no picture yet. */
export async function compose(
  before: Drawn,
  after: Drawn,
  at: number | null,
): Promise<Blob | null> {
  const canvas = document.createElement('canvas');
  if (!draw(canvas, before, after, at)) return null;
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.92));
}

/** A stream of both for as long as `close` is not called; a wipe takes `wipe_s` there and back. */
export function composed(
  before: HTMLVideoElement,
  after: HTMLVideoElement,
  way: Way,
  wipe_s: number,
): { stream: MediaStream; close(): void } {
  const canvas = document.createElement('canvas');
  const began_ms = performance.now();
  const next = () => {
    const turn = ((performance.now() - began_ms) / 1000 / wipe_s) * 2 * Math.PI;
    draw(canvas, before, after, way === 'wipe' ? 0.5 + 0.5 * Math.cos(turn) : null);
  };
  next();
  const timer = setInterval(next, 1000 / FPS);
  const stream = canvas.captureStream(FPS);
  return {
    stream,
    close() {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
    },
  };
}

function draw(canvas: HTMLCanvasElement, before: Drawn, after: Drawn, at: number | null): boolean {
  const [width = 0, height = 0] = size(after);
  const [cameraWidth = 0, cameraHeight = 0] = size(before);
  if (width === 0 || cameraWidth === 0) return false;
  const across = at === null ? 2 * width : width;
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d', { alpha: false });
  if (!context) return false;
  if (at === null) {
    context.drawImage(before, 0, 0, width, height);
    context.drawImage(after, width, 0, width, height);
    return true;
  }
  const left = Math.round(at * width);
  context.drawImage(after, 0, 0, width, height);
  if (left > 0) context.drawImage(before, 0, 0, at * cameraWidth, cameraHeight, 0, 0, left, height);
  context.fillStyle = '#fff';
  const line = Math.max(2, Math.round((LINE_PX * height) / 720));
  if (left > 0 && left < width) context.fillRect(left - line / 2, 0, line, height);
  return true;
}
