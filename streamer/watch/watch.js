// Shows one stream by WHEP, and comes back by itself whatever happens to it.
// ?sound=1 plays its sound (a browser source may, a tab may not); ?fit=cover fills the window.
'use strict';

const NAME = location.pathname.split('/').pop();
const OPTIONS = new URLSearchParams(location.search);
const FIRST_MS = 12000; // for the first picture
const STALL_MS = 4000; // without a new one
const ANSWER_MS = 10000;
const RETRY_MS = 1500;
const GATHER_MS = 1000;

const video = document.querySelector('video');
video.muted = !OPTIONS.has('sound');
if (OPTIONS.get('fit') === 'cover') video.style.objectFit = 'cover';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const show = (state) => { document.documentElement.dataset.state = state; };

function gathered(pc) {
  const done = new Promise((resolve) => {
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && resolve();
  });
  return Promise.race([done, pause(GATHER_MS)]);
}

// Resolves when no picture has come for a while, or the connection has ended.
async function watched(pc) {
  let seen = -1, since = performance.now(), patience = FIRST_MS;
  while (!['failed', 'closed'].includes(pc.connectionState)) {
    await pause(250);
    const { totalVideoFrames } = video.getVideoPlaybackQuality();
    if (totalVideoFrames !== seen) {
      if (seen >= 0) {
        show('live');
        patience = STALL_MS;
      }
      seen = totalVideoFrames;
      since = performance.now();
    } else if (performance.now() - since > patience) {
      return;
    }
  }
}

// Watches until that ends; milliseconds to wait before the next try.
async function watch() {
  const pc = new RTCPeerConnection();
  let session = null;
  const hangUp = () => session && fetch(session, { method: 'DELETE', keepalive: true });
  try {
    const stream = new MediaStream();
    for (const kind of ['video', 'audio']) {
      const { receiver } = pc.addTransceiver(kind, { direction: 'recvonly' });
      receiver.jitterBufferTarget = 0;
      stream.addTrack(receiver.track);
    }
    await pc.setLocalDescription();
    await gathered(pc);
    const answer = await fetch(`/whep/${NAME}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: pc.localDescription.sdp,
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (!answer.ok) return 1000 * (Number(answer.headers.get('Retry-After')) || 5);
    session = answer.headers.get('Location');
    addEventListener('pagehide', hangUp);
    await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    video.srcObject = stream;
    await watched(pc);
    return 0;
  } catch {
    return RETRY_MS; // the server is away
  } finally {
    removeEventListener('pagehide', hangUp);
    pc.close();
    hangUp()?.catch(() => {});
    video.srcObject = null;
  }
}

(async () => {
  for (;;) {
    show('connecting');
    await pause(await watch());
  }
})();
