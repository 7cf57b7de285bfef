/** Every text of the page, in English. */

import type { Reason } from '../rtc/failure';
import type { Drop, Stage, State, VideoState } from '../rtc/protocol';

type Pair = [title: string, remedy: string];

const failures: Record<Reason, Pair> = {
  insecure: [
    'This page cannot use the camera',
    'Browsers allow the camera only on HTTPS pages and on the local machine. Start streamer with --https and open the address it prints, or open http://127.0.0.1 on the machine that runs streamer. The sample video works without a camera.',
  ],
  denied: [
    'Camera access was denied',
    'Allow it with the camera icon in the address bar and in the privacy settings of your system. The page continues as soon as you do.',
  ],
  no_camera: ['No camera was found', 'Connect one and try again, or use the sample video.'],
  camera_busy: [
    'The camera is in use',
    'Close the other app or tab that is using it, then try again.',
  ],
  camera_lost: [
    'The camera was disconnected',
    'Plug it back in and the page continues, or choose another one and try again.',
  ],
  no_picture: [
    'The browser cannot read this picture',
    'Use a JPEG, PNG or WebP file, or save the picture as one of these first.',
  ],
  unauthorized: [
    'This server needs a token',
    'Open the address that streamer printed when it started. It ends in ?token=…',
  ],
  server_full: [
    'The server is full',
    'It has reached its limit of connections. Try again when someone has left.',
  ],
  not_ready: [
    'The server is starting',
    'It is loading the styles, which takes a few seconds. The page continues by itself.',
  ],
  unreachable: [
    'The server is not responding',
    'Is streamer still running? The page reconnects as soon as it is back.',
  ],
  lost: ['The connection was lost', 'Reconnecting…'],
  unconnected: [
    'The server answered, but no video came through',
    'A firewall may be blocking UDP between this browser and the server. Trying again…',
  ],
  refused: ['Something went wrong', 'Try again. The reason:'],
};

const states: Record<State, string> = {
  idle: 'Ready',
  connecting: 'Connecting',
  live: 'Live',
  failed: 'Stopped',
};

const stages: Record<Stage, string> = {
  wait: 'Wait',
  transfer: 'Transfer',
  inference: 'Stylize',
  reorder: 'Reorder',
  pace: 'Pace',
  encode: 'Encode',
};

const drops: Record<Drop, string> = {
  intake: 'replaced by newer ones',
  deadline: 'too old',
  lost: 'lost with a worker',
  late: 'too late',
  skipped: 'skipped',
  encode: 'not encoded in time',
};

const videoStates: Record<VideoState, string> = {
  uploading: 'Uploading',
  waiting: 'Waiting',
  stylizing: 'Stylizing',
  done: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
};

export const en = {
  failures,
  states,
  stages,
  drops,
  tabs: { live: 'Live', photo: 'Photo', video: 'Video' },
  settings: 'Settings and shortcuts',
  language: 'Language',
  theme: { name: 'Theme', auto: 'System', light: 'Light', dark: 'Dark' },
  close: 'Close',
  phone: {
    open: 'Open on a phone',
    title: 'Open on a phone',
    text: 'Scan this code with a phone on the same network. The phone warns once because the certificate is self-signed; continue to the page.',
    qr: 'QR code with the address of this page',
  },
  keys: {
    title: 'Keyboard shortcuts',
    list: [
      ['0 – 9', 'choose a style by its number'],
      ['← →', 'previous, next style'],
      ['Space', 'start, stop'],
      ['C', 'camera: divider, side by side, hidden'],
      ['M', 'mirror'],
      ['N', 'stats'],
      ['S', 'snapshot'],
      ['R', 'start, stop recording'],
      ['F', 'full screen'],
    ] as [string, string][],
  },
  live: {
    stylized: 'Stylized picture',
    title: 'Your camera, restyled live.',
    lead: 'Pick a style, press start, and become a painting.',
    start: 'Start camera',
    again: 'Try again',
    sample: 'Use the sample video',
    stop: 'Stop',
    opening: 'Opening the camera…',
    connecting: 'Connecting…',
    applied: (seq: number) => `applied at frame ${seq}`,
    compare: 'Camera picture',
    divider: 'Divider',
    beside: 'Side by side',
    hidden: 'Hidden',
    dividerAt: 'Divider between the camera and the stylized video',
    mirror: 'Mirror',
    fullscreen: 'Full screen',
    popOut: 'Picture in picture',
    listen: 'Unmute',
    mute: 'Mute',
    stats: 'Stats',
    snapshot: 'Snapshot',
    record: 'Record',
    stopRecording: (time: string) => `Stop ${time}`,
    recordingFailed: 'This browser cannot record the stream',
    saved: 'Saved to your downloads',
    flip: 'Switch camera',
  },
  camera: {
    panel: 'Camera and sound',
    picture: 'Input',
    camera: 'Camera',
    sample: 'Sample',
    preview: 'Camera picture',
    empty: 'Your camera appears here',
    byDefault: 'Default',
    front: 'Front camera',
    back: 'Back camera',
    number: (n: number) => `Camera ${n}`,
    size: 'Size',
    microphone: 'Microphone',
    microphoneNumber: (n: number) => `Microphone ${n}`,
    off: 'Off',
    start: 'Start',
    stop: 'Stop',
    recordBoth: 'Record the camera too',
  },
  look: {
    panel: 'Look',
    strength: 'Strength',
    smooth: 'Smoothing',
    fade: 'Cross-fade',
    tone: 'Tone',
    tones: (tone: number) =>
      tone === 0 ? 'the picture’s own' : tone === 1 ? 'steady' : `${Math.round(100 * tone)}%`,
    toneHelp: 'The picture’s own … steady',
    brush: 'Brush',
    brushes: { fine: 'Fine', medium: 'Medium', bold: 'Bold', photo: 'As the photo' },
    colors: 'Keep colours',
    style: 'Style',
    waiting: 'The styles appear here once the server responds.',
    refresh: 'Preview the styles on my camera',
    addToBlend: (title: string) => `Blend in ${title}`,
    removeFromBlend: (title: string) => `Remove ${title} from the blend`,
    blend: 'Blend',
    own: 'Your own style…',
    ownHint: 'Choose a picture or drop one here to use it as a style.',
    ownBusy: 'Reading its style…',
  },
  stats: {
    panel: 'Stats',
    fps: 'Frames per second',
    ofThose: (fps: string) => `of ${fps} received`,
    age: 'Camera to screen',
    ageHint: 'measured on every frame',
    server: 'In the server',
    p95: (ms: string) => `p95 ${ms} ms`,
    picture: 'Video',
    stylized: (size: string, height: number) => `${size}, stylized at ${height}p`,
    bitrate: 'Bitrate',
    roundTrip: 'Round trip',
    browser: 'Browser',
    browserParts: (buffer: string, decode: string) => `${buffer} ms buffer, ${decode} ms decoding`,
    dropped: 'Dropped',
    none: 'none',
    workers: 'Workers',
    worker: (n: number, state: string) => `worker ${n}: ${state}`,
    history: 'Frames per second and latency over the last two minutes',
    copy: 'Copy as JSON',
    copied: 'Copied',
  },
  photo: {
    title: 'Stylize a photo',
    lead: 'Drop it here, paste it, or choose a file. It keeps its full size, and the server does not store it.',
    choose: 'Choose a photo',
    original: 'Original photo',
    stylized: 'Stylized photo',
    download: 'Download',
    another: 'Another photo',
    busy: 'Stylizing…',
    dividerAt: 'Divider between the original and the stylized photo',
  },
  video: {
    title: 'Stylize a video',
    lead: 'Drop it here or choose a file. It keeps its sound and gets the look chosen below.',
    choose: 'Choose a video',
    states: videoStates,
    frames: (frames: number, total: number) =>
      total ? `${frames} of ${total} frames` : `${frames} frames`,
    left: (time: string) => `${time} left`,
    cancel: 'Cancel',
    remove: 'Remove',
    download: 'Download',
    all: 'Videos',
    progress: (name: string) => `Progress of ${name}`,
  },
};

export type Words = typeof en;
