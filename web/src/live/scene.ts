/** The sample: hot-air balloons over hills at dusk, in code because it needs no download. */

type Context = CanvasRenderingContext2D;

const WIDTH = 1280;
const HEIGHT = 720;
const TAU = 2 * Math.PI;

// From back to front.
const HILLS = [
  { y: 470, height: 70, speed: 14, color: '#7d4f8f' },
  { y: 560, height: 60, speed: 34, color: '#46407f' },
  { y: 650, height: 46, speed: 70, color: '#1f4a53' },
];
const BALLOONS = [
  { x: 980, y: 210, radius: 58, speed: 16, colors: ['#f7c948', '#2f6db5'] },
  { x: 160, y: 250, radius: 90, speed: 26, colors: ['#2a9d8f', '#fff1d0'] },
  { x: 620, y: 300, radius: 150, speed: 42, colors: ['#d7263d', '#ffd35c'] },
];

/** Draw the scene at `t` seconds, as large as the canvas. */
export function drawScene(context: Context, t: number): void {
  const { width, height } = context.canvas;
  context.setTransform(width / WIDTH, 0, 0, height / HEIGHT, 0, 0);
  const sky = context.createLinearGradient(0, 0, 0, HEIGHT);
  for (const [i, color] of ['#24306e', '#8a4a94', '#f07f64', '#ffd98a'].entries())
    sky.addColorStop(i / 4, color);
  context.fillStyle = sky;
  context.fillRect(0, 0, WIDTH, HEIGHT);
  ellipse(context, '#fff1bf', 400 + 60 * Math.sin(t / 6), 420 + 25 * Math.sin(t / 4), 70, 70);
  for (const [i, { y, height, speed, color }] of HILLS.entries()) {
    context.fillStyle = color;
    context.beginPath();
    context.moveTo(0, HEIGHT);
    for (let x = 0; x <= WIDTH + 20; x += 20) {
      const at = (x + t * speed) / 150 + 2 * i;
      context.lineTo(x, y - height * (Math.sin(at) + 0.4 * Math.sin(2.7 * at)));
    }
    context.lineTo(WIDTH, HEIGHT);
    context.fill();
    const balloon = BALLOONS[i];
    if (balloon) drawBalloon(context, balloon, t);
  }
}

function drawBalloon(context: Context, balloon: (typeof BALLOONS)[number], t: number): void {
  const { radius: r, speed, colors } = balloon;
  const lap = WIDTH + 4 * r;
  context.save();
  context.translate(((balloon.x + t * speed) % lap) - 2 * r, balloon.y + 22 * Math.sin(t + r));
  context.rotate(0.09 * Math.sin(t / 1.3 + r));
  context.fillStyle = '#5b3a29';
  context.fillRect(-r / 5, 1.6 * r, r / 2.5, r / 3);
  context.strokeStyle = '#3a2430';
  context.lineWidth = r / 30;
  for (const side of [-1, 1]) {
    context.beginPath();
    context.moveTo(side * r * 0.75, 0.75 * r);
    context.lineTo((side * r) / 5, 1.6 * r);
    context.stroke();
  }
  // Ever narrower ellipses look like the gores of the envelope.
  for (const [i, share] of [1, 0.78, 0.48, 0.16].entries())
    ellipse(context, colors[i % 2] ?? '', 0, 0, share * r, 1.1 * r);
  context.restore();
}

function ellipse(context: Context, color: string, x: number, y: number, rx: number, ry: number) {
  context.fillStyle = color;
  context.beginPath();
  context.ellipse(x, y, rx, ry, 0, 0, TAU);
  context.fill();
}
