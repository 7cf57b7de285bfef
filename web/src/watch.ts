/**
 * `/watch/NAME`: one stream and nothing else, reconnected for ever.
 * `?sound=1` plays its sound (a browser source may, a tab may not); `?fit=cover` fills the window.
 */

import { getIceServers, whep } from './rtc/api';
import { Connection } from './rtc/connection';
import { Failure } from './rtc/failure';

const RETRY_S = 1.5;
const ANSWER_MS = 30_000; // for the answer and the first frame

const endpoint = whep(location.pathname.split('/').pop() ?? '');
const options = new URLSearchParams(location.search);
const video = document.querySelector('video') ?? document.createElement('video');
video.muted = !options.has('sound');
if (options.get('fit') === 'cover') video.style.objectFit = 'cover';

const show = (state: 'connecting' | 'live') => {
  document.documentElement.dataset.state = state;
};

/** Until the connection ends; the reason. */
async function watch(): Promise<Failure> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const connection = new Connection(await getIceServers(endpoint, signal));
  const hangUp = () => connection.close();
  addEventListener('pagehide', hangUp);
  try {
    for (const kind of ['video', 'audio'] as const) connection.add(kind, 'recvonly');
    video.srcObject = await connection.open(endpoint, signal);
    show('live');
    return await connection.lost;
  } finally {
    removeEventListener('pagehide', hangUp);
    connection.close();
    video.srcObject = null;
    show('connecting');
  }
}

async function keepWatching(): Promise<never> {
  while (true) {
    const { reason, retryAfter_s } = await watch().catch(Failure.from);
    const wait_s = reason === 'lost' ? 0 : retryAfter_s || RETRY_S;
    await new Promise((resolve) => setTimeout(resolve, 1000 * wait_s));
  }
}

void keepWatching();
