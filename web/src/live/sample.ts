/** The sample picture as a camera would give it. */

import { drawScene } from './scene';
import Ticker from './ticker?worker';

export interface Sample {
  readonly stream: MediaStream;
  close(): void;
}

export function openSample(height_px: number, fps: number): Sample {
  const canvas = document.createElement('canvas');
  canvas.width = Math.round((height_px * 16) / 9);
  canvas.height = height_px;
  const context = canvas.getContext('2d', { alpha: false });
  if (!context) throw new Error('this browser draws no canvas');
  const draw = () => drawScene(context, performance.now() / 1000);
  draw();
  const ticker = new Ticker();
  ticker.onmessage = draw;
  ticker.postMessage(1000 / fps);
  const stream = canvas.captureStream(fps);
  return { stream, close: () => ticker.terminate() };
}
