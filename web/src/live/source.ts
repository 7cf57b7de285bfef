/** Where the input comes from: a camera and a microphone, or the sample. */

import { Failure } from '../rtc/failure';
import { openSample } from './sample';

export interface Wanted {
  kind: 'camera' | 'sample';
  /** Empty: the browser's choice. */
  deviceId: string;
  /** On phones, when no device is named: the front or the back camera; empty: either. */
  facing: '' | 'user' | 'environment';
  height_px: number;
  /** Microphone; null: none, empty: the browser's choice. */
  microphoneId: string | null;
}

export interface Source {
  readonly stream: MediaStream;
  /** Resolves when the video ends by itself: a camera that was unplugged. */
  readonly ended: Promise<Failure>;
  /** Resolves when the camera gives no picture for a while without having ended. */
  readonly silenced: Promise<void>;
  close(): void;
}

export interface Device {
  id: string;
  name: string;
}

const SILENT_MS = 3000; // a camera that changes its exposure is back by then

export const FPS = 30;
export const HEIGHTS_PX = [360, 540, 720];

export const width = (height_px: number) => Math.round((height_px * 16) / 9);

/** Open what is wanted. Throws Failure. */
export async function open(wanted: Wanted): Promise<Source> {
  const stream = new MediaStream();
  const sample = wanted.kind === 'sample' ? openSample(wanted.height_px, FPS) : null;
  const media = await openDevices(wanted).catch((error) => {
    sample?.close();
    throw error;
  });
  for (const opened of [sample?.stream, media]) {
    for (const track of opened?.getTracks() ?? []) stream.addTrack(track);
  }
  return {
    stream,
    ended: ended(stream),
    silenced: silenced(stream),
    close() {
      sample?.close();
      for (const track of stream.getTracks()) track.stop();
    },
  };
}

/** Cameras and microphones; their names are known once one of them was allowed. */
export async function devices(kind: MediaDeviceKind): Promise<Device[]> {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return all
    .filter((device) => device.kind === kind && device.deviceId !== '')
    .map(({ deviceId, label }) => ({ id: deviceId, name: label }));
}

async function openDevices(wanted: Wanted): Promise<MediaStream | null> {
  const constraints: MediaStreamConstraints = {
    video: wanted.kind === 'camera' && {
      ...(wanted.deviceId
        ? { deviceId: { ideal: wanted.deviceId } }
        : wanted.facing && { facingMode: { ideal: wanted.facing } }),
      width: { ideal: width(wanted.height_px) },
      height: { ideal: wanted.height_px },
      aspectRatio: { ideal: 16 / 9 },
      frameRate: { ideal: FPS },
    },
    audio: wanted.microphoneId !== null && {
      ...(wanted.microphoneId && { deviceId: { ideal: wanted.microphoneId } }),
    },
  };
  if (!constraints.video && !constraints.audio) return null;
  if (!navigator.mediaDevices) throw new Failure('insecure');
  try {
    const stream = await navigator.mediaDevices.getUserMedia(constraints);
    await turn(stream, wanted.height_px);
    return stream;
  } catch (error) {
    throw Failure.fromCamera(error);
  }
}

/** An upright phone gets an upright picture, also of a camera that lies. */
async function turn(stream: MediaStream, height_px: number): Promise<void> {
  const [track] = stream.getVideoTracks();
  const { width: across = 0, height: down = 0 } = track?.getSettings() ?? {};
  if (navigator.maxTouchPoints === 0 || innerWidth > innerHeight || across <= down) return;
  const upright = { width: height_px, height: width(height_px), aspectRatio: 9 / 16 };
  await track?.applyConstraints({ ...upright, frameRate: FPS }).catch(() => {});
}

function ended(stream: MediaStream): Promise<Failure> {
  return new Promise((resolve) => {
    for (const track of stream.getVideoTracks())
      track.addEventListener('ended', () => resolve(new Failure('camera_lost')));
  });
}

function silenced(stream: MediaStream): Promise<void> {
  return new Promise((resolve) => {
    for (const track of stream.getVideoTracks()) {
      let timer = 0;
      track.addEventListener('mute', () => {
        timer = window.setTimeout(resolve, SILENT_MS);
      });
      track.addEventListener('unmute', () => clearTimeout(timer));
    }
  });
}

/** Calls `changed` when a device comes or goes, or when the camera is allowed. */
export function onchange(changed: () => void): () => void {
  const { mediaDevices, permissions } = navigator;
  let camera: PermissionStatus | null = null;
  let over = false;
  mediaDevices?.addEventListener('devicechange', changed);
  permissions
    ?.query({ name: 'camera' as PermissionName })
    .then((status) => {
      if (over) return;
      camera = status;
      camera.addEventListener('change', changed);
    })
    .catch(() => {}); // not every browser knows this permission
  return () => {
    over = true;
    mediaDevices?.removeEventListener('devicechange', changed);
    camera?.removeEventListener('change', changed);
  };
}
