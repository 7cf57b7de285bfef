import { ROOT } from '../rtc/api';
import { THUMBNAIL } from '../styles/thumbnails.svelte';
import { capture } from '../ui/save';

const FACE = `${ROOT}/face.webp`;

/** A small picture of what the camera sees now, or of a face when there is nothing to see. */
export async function still(input: MediaStream | null): Promise<Blob | null> {
  if (!input) return capture(await face(), THUMBNAIL);
  const video = document.createElement('video');
  video.muted = true;
  video.srcObject = input;
  await video.play().catch(() => {});
  const picture = await capture(video, THUMBNAIL);
  video.srcObject = null;
  return picture;
}

async function face(): Promise<HTMLCanvasElement> {
  const picture = new Image();
  picture.src = FACE;
  await picture.decode();
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
  canvas.getContext('2d')?.drawImage(picture, 0, 0);
  return canvas;
}
