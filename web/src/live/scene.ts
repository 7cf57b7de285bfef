/** The sample picture: a person by the sea at dusk. Nothing in it stands still. */

type Context = CanvasRenderingContext2D;

// Drawn on a sheet of this size, whatever the canvas has.
export const SHEET = { width: 1280, height: 720 };
const HORIZON = 415;
const TAU = 2 * Math.PI;

/** Draw the scene as it is at `t` seconds. */
export function drawScene(context: Context, t: number): void {
  const { width, height } = context.canvas;
  context.setTransform(width / SHEET.width, 0, 0, height / SHEET.height, 0, 0);
  const sun = { x: 470 + 60 * wave(t, 37), y: 300 + 34 * wave(t, 23) };
  drawSky(context, sun);
  drawClouds(context, t);
  drawRidge(context, t * 2, 84, '#6d4a86', '#a8627f');
  drawRidge(context, t * 5 + 300, 44, '#3c3a6e', '#7a4a78');
  drawSea(context, t, sun);
  drawBoat(context, t);
  drawShore(context, t);
  drawPerson(context, t);
}

const wave = (t: number, period_s: number, phase = 0) => Math.sin((TAU * t) / period_s + phase);

function vertical(context: Context, y0: number, y1: number, ...colors: string[]): CanvasGradient {
  const gradient = context.createLinearGradient(0, y0, 0, y1);
  for (const [i, color] of colors.entries()) gradient.addColorStop(i / (colors.length - 1), color);
  return gradient;
}

function blob(context: Context, x: number, y: number, rx: number, ry = rx, turn = 0): void {
  context.beginPath();
  context.ellipse(x, y, rx, ry, turn, 0, TAU);
  context.fill();
}

/** A closed shape through a start and cubic curves, as an SVG path says it. */
function shape(context: Context, path: string, fill: string | CanvasGradient): void {
  context.fillStyle = fill;
  context.fill(new Path2D(path));
}

function drawSky(context: Context, sun: { x: number; y: number }): void {
  const { width } = SHEET;
  context.fillStyle = vertical(
    context,
    0,
    HORIZON,
    '#1f2a63',
    '#5a4290',
    '#d0597c',
    '#ff9f5a',
    '#ffdc8a',
  );
  context.fillRect(0, 0, width, HORIZON);
  const glow = context.createRadialGradient(sun.x, sun.y, 40, sun.x, sun.y, 420);
  glow.addColorStop(0, 'rgb(255 236 170 / 0.9)');
  glow.addColorStop(0.3, 'rgb(255 180 100 / 0.45)');
  glow.addColorStop(1, 'rgb(255 140 90 / 0)');
  context.fillStyle = glow;
  context.fillRect(0, 0, width, HORIZON);
  context.fillStyle = '#fff3c4';
  blob(context, sun.x, sun.y, 62);
}

const PUFFS = [
  [-70, 8, 34],
  [-30, -8, 46],
  [20, -14, 54],
  [66, 2, 40],
  [100, 12, 24],
] as const;

function drawClouds(context: Context, t: number): void {
  for (let i = 0; i < 7; i++) {
    const size = 0.7 + 0.5 * ((i * 0.37) % 1);
    const x = ((i * 263 + t * (9 + 5 * size)) % (SHEET.width + 400)) - 200;
    const y = 60 + ((i * 97) % 210);
    const lit = y > 150;
    context.fillStyle = lit ? 'rgb(255 190 140 / 0.6)' : 'rgb(232 150 178 / 0.45)';
    context.beginPath();
    for (const [dx, dy, r] of PUFFS) {
      const [cx, cy] = [x + dx * size, y + dy * size + 4 * wave(t, 9, i + dx)];
      context.moveTo(cx, cy);
      context.ellipse(cx, cy, r * 1.3 * size, r * 0.55 * size, 0, 0, TAU);
    }
    context.fill();
  }
}

function drawRidge(
  context: Context,
  shift: number,
  height: number,
  top: string,
  foot: string,
): void {
  context.fillStyle = vertical(context, HORIZON - 1.6 * height, HORIZON, top, foot);
  context.beginPath();
  context.moveTo(0, HORIZON);
  for (let x = 0; x <= SHEET.width; x += 16) {
    const at = x + shift;
    const rise = Math.sin(at / 210) + 0.5 * Math.sin(at / 83 + 1) + 0.22 * Math.sin(at / 31);
    context.lineTo(x, HORIZON - height * (0.75 + 0.42 * rise));
  }
  context.lineTo(SHEET.width, HORIZON);
  context.fill();
}

function drawSea(context: Context, t: number, sun: { x: number }): void {
  const { width, height } = SHEET;
  context.fillStyle = vertical(
    context,
    HORIZON,
    height,
    '#f0a070',
    '#8d5a8c',
    '#2b3f78',
    '#122552',
  );
  context.fillRect(0, HORIZON, width, height - HORIZON);
  for (let row = 0; row < 11; row++) {
    const near = row / 10;
    const y = HORIZON + 8 + 250 * near ** 1.5;
    const swell = 2 + 15 * near;
    const depth = 30 + 130 * near;
    context.fillStyle = `hsl(${330 - 110 * near} 45% ${58 - 34 * near}% / 0.55)`;
    context.beginPath();
    context.moveTo(0, Math.min(height, y + depth));
    for (let x = 0; x <= width; x += 20) {
      const phase = x / (30 + 110 * near) + row * 1.7;
      const crest = Math.sin(phase + t * (0.5 + near)) + 0.5 * Math.sin(2.3 * phase - t);
      context.lineTo(x, y + swell * crest);
    }
    context.lineTo(width, Math.min(height, y + depth));
    context.fill();
    drawGlitter(context, t, sun.x, y, near, row);
  }
}

function drawGlitter(
  context: Context,
  t: number,
  sunX: number,
  y: number,
  near: number,
  row: number,
): void {
  for (let i = 0; i < 7; i++) {
    const spread = (30 + 120 * near) * (((i * 0.618 + row * 0.37) % 1) * 2 - 1);
    const light = 0.5 + 0.5 * wave(t, 1.7, i * 2.1 + row);
    context.fillStyle = `rgb(255 226 150 / ${0.75 * light * (1 - 0.5 * near)})`;
    blob(context, sunX + spread + 8 * wave(t, 3, row), y, 10 + 26 * near * light, 1.6 + 3 * near);
  }
}

function drawBoat(context: Context, t: number): void {
  context.save();
  context.translate(((t * 14 + 640) % 1500) - 110, HORIZON + 42 + 4 * wave(t, 3.1));
  context.rotate(0.05 * wave(t, 4.3));
  shape(context, 'M-58 0 C-40 26 44 26 62 -2 Z', '#5b1f33');
  shape(context, 'M-4 -6 L-4 -128 C30 -96 46 -52 52 -10 Z', '#fff0d6');
  shape(context, 'M-10 -8 L-10 -108 C-34 -78 -46 -42 -50 -10 Z', '#f2764b');
  context.restore();
}

function drawShore(context: Context, t: number): void {
  shape(context, 'M0 600 C150 560 300 610 470 668 C560 700 620 712 700 720 L0 720 Z', '#1d2d33');
  shape(context, 'M0 640 C140 610 260 650 420 720 L0 720 Z', '#27453a');
  for (let i = 0; i < 46; i++) {
    const x = i * 11 + 5 * Math.sin(i * 5);
    const foot = 640 + 0.00034 * x * x + 26 * ((i * 0.37) % 1);
    const tall = 46 + 44 * ((i * 0.618) % 1);
    const bend = 16 * wave(t, 3.3, x / 120) + 6 * wave(t, 1.3, i);
    context.strokeStyle = i % 3 ? '#4d7a4a' : '#86a350';
    context.lineWidth = 4;
    context.beginPath();
    context.moveTo(x, foot + 40);
    context.quadraticCurveTo(x, foot - tall / 2, x + bend, foot - tall);
    context.stroke();
    if (i % 5 === 0) {
      context.fillStyle = i % 2 ? '#ff5a3c' : '#ffd23f';
      blob(context, x + bend, foot - tall, 13, 10, bend / 30);
      context.fillStyle = '#3a1420';
      blob(context, x + bend, foot - tall, 4);
    }
  }
}

function drawPerson(context: Context, t: number): void {
  context.save();
  context.translate(985, 520 + 5 * wave(t, 4.7));
  drawShoulders(context, t);
  context.translate(6 * wave(t, 7.1), 0);
  context.rotate(0.07 * wave(t, 7.1) + 0.02 * wave(t, 2.9));
  drawHead(context, t);
  context.restore();
}

function drawShoulders(context: Context, t: number): void {
  const coat = context.createLinearGradient(-230, 0, 230, 0);
  coat.addColorStop(0, '#3f7fa8');
  coat.addColorStop(0.5, '#28517f');
  coat.addColorStop(1, '#1b2f58');
  shape(context, 'M-250 260 C-240 120 -150 62 -52 42 L60 42 C160 62 236 120 250 260 Z', coat);
  shape(context, 'M-48 -40 L-54 62 C-20 92 34 92 60 60 L54 -40 Z', '#c9795c');
  shape(
    context,
    'M-84 40 C-60 26 -40 52 0 60 C42 52 62 28 88 42 C84 78 50 104 0 104 C-50 104 -82 78 -84 40 Z',
    '#d8412f',
  );
  const flap = 30 * wave(t, 2.3);
  shape(
    context,
    `M58 70 C110 80 130 ${110 + flap} 190 ${84 + flap} C176 ${128 + flap} 120 150 70 104 Z`,
    '#b52c2b',
  );
}

function drawHead(context: Context, t: number): void {
  const skin = context.createLinearGradient(-95, -60, 95, 0);
  skin.addColorStop(0, '#ffd9b0');
  skin.addColorStop(0.5, '#f2a882');
  skin.addColorStop(1, '#b0655f');
  shape(
    context,
    'M-112 -150 C-150 -40 -130 70 -86 96 C-70 20 70 20 92 92 C136 50 146 -60 112 -150 Z',
    '#4a2328',
  );
  shape(
    context,
    'M-88 -130 C-98 -40 -86 14 -46 52 C-20 74 22 74 48 50 C86 12 98 -44 88 -130 Z',
    skin,
  );
  shape(
    context,
    'M-88 -128 C-92 -90 -92 -60 -88 -36 C-74 -66 -60 -104 -8 -122 C40 -112 70 -84 88 -40 C94 -70 94 -100 88 -130 Z',
    '#5d2d2c',
  );
  drawFace(context, t);
  const straw = vertical(context, -260, -110, '#fff0b0', '#eab54e');
  shape(context, 'M-104 -136 C-108 -236 -66 -262 0 -262 C66 -262 108 -236 104 -136 Z', straw);
  shape(
    context,
    'M-106 -146 C-104 -168 -104 -172 -102 -184 C-40 -166 40 -166 102 -184 C106 -170 106 -160 106 -146 Z',
    '#c23a34',
  );
  shape(
    context,
    'M-196 -118 C-150 -160 -60 -156 0 -154 C60 -156 150 -164 200 -128 C150 -112 60 -104 0 -106 C-70 -104 -150 -98 -196 -118 Z',
    straw,
  );
}

function drawFace(context: Context, t: number): void {
  const gaze = 5 * wave(t, 5.3);
  const blink = Math.max(0.08, Math.min(1, Math.abs(((t + 0.4) % 3.7) - 0.12) * 12));
  for (const side of [-1, 1]) {
    const x = 36 * side;
    context.fillStyle = '#fff6ea';
    blob(context, x, -38, 17, 11 * blink);
    context.fillStyle = '#24505f';
    blob(context, x + gaze, -38, 8.5, 9.5 * blink);
    context.fillStyle = '#0d1820';
    blob(context, x + gaze, -38, 4, 5 * blink);
    context.strokeStyle = '#43201f';
    context.lineCap = 'round';
    context.lineWidth = 6;
    context.beginPath();
    context.moveTo(x - 22, -60 - side);
    context.quadraticCurveTo(x, -72 + 3 * wave(t, 6.1), x + 22, -60 + side);
    context.stroke();
  }
  shape(context, 'M-4 -36 C-12 -8 -20 2 -12 8 C-4 14 10 12 12 4 C6 2 6 -20 4 -36 Z', '#d58a6c');
  context.fillStyle = 'rgb(236 92 84 / 0.4)';
  blob(context, -56, 2, 20, 14);
  blob(context, 56, 2, 18, 13);
  const smile = 5 + 4 * wave(t, 6.7);
  shape(
    context,
    `M-26 30 C-12 ${24 + smile / 3} -6 30 0 28 C6 30 12 ${24 + smile / 3} 27 29 C14 ${40 + smile} -14 ${40 + smile} -26 30 Z`,
    '#b3343c',
  );
}
