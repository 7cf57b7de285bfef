import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { language, preferred } from './i18n/words.svelte';
import { ROOT } from './rtc/api';
import { loadPreferences } from './settings';

document.documentElement.style.setProperty('--hero', `url(${ROOT}/hero.webp)`);
void language
  .choose(loadPreferences().language ?? preferred(navigator.languages))
  .then(() => mount(App, { target: document.body }));
