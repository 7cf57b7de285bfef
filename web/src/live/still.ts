import { THUMBNAIL_PX } from '../styles/thumbnails.svelte';
import { capture } from '../ui/save';
import { drawScene } from './scene';

/** A small picture of what the camera sees now, or of the sample when there is nothing to see. */
export async function still(input: MediaStream | null): Promise<Blob | null> {
  const video = document.createElement('video');
  video.muted = true;
  video.srcObject = input;
  if (input) await video.play().catch(() => {});
  const source = video.videoWidth > 0 ? video : sample();
  const picture = await capture(source, { height_px: THUMBNAIL_PX, type: 'image/jpeg' });
  video.srcObject = null;
  return picture;
}

function sample(): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.height = THUMBNAIL_PX;
  canvas.width = (THUMBNAIL_PX * 16) / 9;
  const context = canvas.getContext('2d');
  if (context) drawScene(context, 13);
  return canvas;
}
