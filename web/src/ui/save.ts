/** Pictures and recordings taken from the page and put into the downloads folder. */

type Drawn = HTMLVideoElement | HTMLCanvasElement | ImageBitmap;

export interface CaptureOptions {
  /** Left out: as large as it is. */
  height_px?: number;
  /** Width by height; what does not fit is cut off, a little more below than above. */
  aspect?: number;
  mirror?: boolean;
  type?: 'image/png' | 'image/jpeg';
}

/** What is shown now, as a picture file; null when there is nothing yet. */
export async function capture(from: Drawn, options: CaptureOptions = {}): Promise<Blob | null> {
  const [width, height] =
    from instanceof HTMLVideoElement
      ? [from.videoWidth, from.videoHeight]
      : [from.width, from.height];
  if (width === 0 || height === 0) return null;
  const { aspect = width / height } = options;
  const across = Math.min(width, height * aspect);
  const down = Math.min(height, width / aspect);
  const canvas = document.createElement('canvas');
  canvas.height = options.height_px ?? Math.round(down);
  canvas.width = Math.round((across * canvas.height) / down);
  const context = canvas.getContext('2d');
  if (!context) return null;
  if (options.mirror) context.setTransform(-1, 0, 0, 1, canvas.width, 0);
  const [left, top] = [(width - across) / 2, (height - down) / 3];
  context.drawImage(from, left, top, across, down, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, options.type ?? 'image/png', 0.9));
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
