// Debian's Chromium, headless, each time with a profile of its own.
import { chromium } from 'playwright-core';
import { onEnd } from './scope.mjs';
import { CHROMIUM } from './tools.mjs';

export async function openBrowser(owner) {
  // playwright-core makes a fresh user-data-dir for each launch and removes it.
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    headless: true,
    timeout: 60000,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  onEnd(owner, () => browser.close());
  return browser;
}
