// Notes, for bench/network.py, when each frame leaves the camera and when it comes back.
(() => {
  const Real = RTCPeerConnection;
  const now = () => performance.timeOrigin + performance.now();
  const lab = { pcs: [], camera: [], shown: [], log: [] };
  window.lab = lab;

  // The number that tests/support/clips.py has written into a frame; -1: cannot be read.
  const CELLS = 20;
  const number = async (frame) => {
    const { codedWidth: width, codedHeight: height } = frame;
    const luma = new Uint8Array(frame.allocationSize());
    const [{ offset, stride }] = await frame.copyTo(luma);
    const mean = (cell, quarter) => {
      let sum = 0;
      let count = 0;
      const end = ((cell + 0.7) * width) / CELLS;
      for (const share of [0.35, 0.5, 0.65]) {
        const row = offset + Math.floor(((quarter + share) * height) / 4) * stride;
        for (let x = Math.floor(((cell + 0.3) * width) / CELLS); x < end; x += 2, count++)
          sum += luma[row + x];
      }
      return sum / count;
    };
    let code = 0;
    for (let cell = 0; cell < CELLS; cell++) {
      const difference = mean(cell, 0) - mean(cell, 1);
      if (Math.abs(difference) < 16) return -1;
      code = (code << 1) | (difference > 0 ? 1 : 0);
    }
    const n = code >> 4;
    return ((n ^ (n >> 4) ^ (n >> 8) ^ (n >> 12) ^ 10) & 15) === (code & 15) ? n : -1;
  };
  lab.watch = async (track, list) => {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    for (;;) {
      const { value: frame, done } = await reader.read();
      if (done) return;
      const at = now();
      list.push([at, await number(frame).catch(() => -1), frame.codedWidth]);
      frame.close();
    }
  };

  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => {
    const stream = await open(wanted);
    const [video] = stream.getVideoTracks();
    if (video) lab.watch(video.clone(), lab.camera);
    return stream;
  };
  window.RTCPeerConnection = class extends Real {
    constructor(...options) {
      super(...options);
      lab.pcs.push(this);
      this.addEventListener('track', ({ track }) => {
        if (track.kind === 'video') lab.watch(track, lab.shown);
      });
    }
  };

  setInterval(async () => {
    const pc = lab.pcs.at(-1);
    if (!pc || pc.signalingState === 'closed') return;
    const seen = { at: now(), connection: lab.pcs.length };
    for (const report of (await pc.getStats()).values())
      if (['inbound-rtp', 'outbound-rtp', 'remote-inbound-rtp'].includes(report.type))
        seen[`${report.type}-${report.kind}`] = report;
    lab.log.push(seen);
  }, 250);
})();
