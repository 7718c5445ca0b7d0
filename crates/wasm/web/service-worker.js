// Keeps the page for the next time. VERSION and FILES are filled in when the page is built: another model or program is another version,
// which is fetched as a whole before it takes the place of the one before.
const VERSION = "@VERSION@";
const FILES = "@FILES@".split(" ");
const NAME = `efficientbert-${VERSION}`;

self.addEventListener("install", (event) => {
  const whole = caches.open(NAME).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" }))));
  event.waitUntil(whole.then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const others = caches.keys().then((names) => names.filter((name) => name.startsWith("efficientbert-") && name !== NAME));
  event.waitUntil(others.then((names) => Promise.all(names.map((name) => caches.delete(name)))).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  const kept = caches.open(NAME).then((cache) => cache.match(event.request, { ignoreSearch: true }));
  event.respondWith(kept.then((response) => response ?? fetch(event.request)));
});
