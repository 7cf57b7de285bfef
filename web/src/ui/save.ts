/** Pictures and films that stay: taken from the page, saved without leaving it. */

export type Drawn = HTMLVideoElement | HTMLCanvasElement | ImageBitmap;

export interface Taken {
  /** Pixels; null: as large as it is. */
  height_px?: number | null;
  mirror?: boolean;
  type?: 'image/png' | 'image/jpeg';
}

/** What is seen now as a picture file; null when there is nothing to see yet. */
export async function take(from: Drawn, how: Taken = {}): Promise<Blob | null> {
  const [width, height] =
    from instanceof HTMLVideoElement
      ? [from.videoWidth, from.videoHeight]
      : [from.width, from.height];
  if (width === 0 || height === 0) return null;
  const canvas = document.createElement('canvas');
  canvas.height = how.height_px ?? height;
  canvas.width = Math.round((width * canvas.height) / height);
  const context = canvas.getContext('2d');
  if (!context) return null;
  if (how.mirror) context.setTransform(-1, 0, 0, 1, canvas.width, 0);
  context.drawImage(from, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, how.type ?? 'image/png', 0.9));
}

/** Put a file into the downloads folder. */
export function save(file: Blob | string, name: string): void {
  const url = typeof file === 'string' ? file : URL.createObjectURL(file);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  if (typeof file !== 'string') setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** `streamer-mosaic-2026-05-01-181503.png`: by style and local time. */
export function fileName(what: string, ending: string, now = new Date()): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join('-');
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join('');
  const label = what.replace(/[^\w.]+/g, '-');
  return `streamer-${label}-${day}-${time}.${ending}`;
}

/** `1:05`, `1:00:00`. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
