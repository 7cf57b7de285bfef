/** The sample: hot-air balloons over hills at dusk, in code because that needs no download. */

const [WIDTH, HEIGHT] = [1280, 720];
const SKY = ['#24306e', '#8a4a94', '#f07f64', '#ffd98a'];
// One hill and the balloon in front of it, from back to front; speeds in pixels a second.
const LAYERS = [
  {
    y: 470,
    speed: 14,
    color: '#7d4f8f',
    balloon: { x: 980, r: 58, colors: ['#f7c948', '#2f6db5'] },
  },
  {
    y: 560,
    speed: 30,
    color: '#46407f',
    balloon: { x: 160, r: 90, colors: ['#2a9d8f', '#fff1d0'] },
  },
  {
    y: 650,
    speed: 50,
    color: '#1f4a53',
    balloon: { x: 620, r: 150, colors: ['#d7263d', '#ffd35c'] },
  },
];

/** Draw the scene at `t` seconds, as large as the canvas. */
export function drawScene(context: CanvasRenderingContext2D, t: number): void {
  const { width, height } = context.canvas;
  const ellipse = (color: string, x: number, y: number, rx: number, ry: number) => {
    context.fillStyle = color;
    context.beginPath();
    context.ellipse(x, y, rx, ry, 0, 0, 2 * Math.PI);
    context.fill();
  };
  context.setTransform(width / WIDTH, 0, 0, height / HEIGHT, 0, 0);
  const sky = context.createLinearGradient(0, 0, 0, HEIGHT);
  for (const [i, color] of SKY.entries()) sky.addColorStop(i / SKY.length, color);
  context.fillStyle = sky;
  context.fillRect(0, 0, WIDTH, HEIGHT);
  ellipse('#fff1bf', 400 + 60 * Math.sin(t / 6), 420 + 25 * Math.sin(t / 4), 70, 70);
  for (const { y, speed, color, balloon } of LAYERS) {
    context.fillStyle = color;
    context.beginPath();
    context.moveTo(0, HEIGHT);
    for (let x = 0; x <= WIDTH; x += 20) {
      const at = (x + t * speed + 3 * y) / 150;
      context.lineTo(x, y - 55 * (Math.sin(at) + 0.4 * Math.sin(2.7 * at)));
    }
    context.lineTo(WIDTH, HEIGHT);
    context.fill();

    const { r, colors } = balloon;
    context.save();
    const x = ((balloon.x + t * speed) % (WIDTH + 4 * r)) - 2 * r;
    context.translate(x, 190 + r + 22 * Math.sin(t + r));
    context.rotate(0.09 * Math.sin(t / 1.3 + r));
    context.fillStyle = '#4a2f2a';
    for (const x of [-0.3, 0.25]) context.fillRect(x * r, r, 0.05 * r, 0.5 * r);
    context.fillRect(-0.3 * r, 1.45 * r, 0.6 * r, 0.3 * r);
    // Narrower and narrower ellipses: the gores of the envelope.
    for (const [i, share] of [1, 0.78, 0.48, 0.16].entries())
      ellipse(colors[i % 2] ?? '', 0, 0, share * r, 1.1 * r);
    context.restore();
  }
}
