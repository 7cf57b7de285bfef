import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { language, preferred } from './i18n/words.svelte';
import { loadPreferences } from './settings';

void language
  .choose(loadPreferences().language ?? preferred(navigator.languages))
  .then(() => mount(App, { target: document.body }));
