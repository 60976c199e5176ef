/* The queue's events, from one stream for the whole page. The first event is a snapshot, so a page that opens, was
   reloaded, slept or lost its connection knows everything again. Views (stage, queue) draw what is in LW.jobs. */
(() => {
  const HIDDEN_MS = 60_000, LONGEST_WAIT_MS = 10_000;
  const jobs = new Map(); /* id -> job as the server tells it, oldest first */
  const views = [];
  let stream = null, tries = 0, retry, sleep;

  const isOpen = job => job.state === 'running' || job.state === 'waiting';
  /* pictures that nobody asked to save belong to the client that asked for them, and are soon forgotten */
  const hasPictures = job => job.images.length > 0 && (job.save || isOpen(job));
  const running = () => [...jobs.values()].find(job => job.state === 'running');
  const waiting = () => [...jobs.values()].filter(job => job.state === 'waiting');
  const post = (path, method = 'POST') => fetch(LW.address(path), { method }).catch(() => LW.note('Not connected'));

  function take(event) {
    if (event.kind === 'snapshot') {
      jobs.clear();
      for (const job of event.jobs) jobs.set(job.id, job);
    } else if (event.kind === 'removed') jobs.delete(event.job.id);
    else if (event.job) jobs.set(event.job.id, event.job);
    views.forEach(view => view(event));
    header();
  }

  function header() {
    const count = LW.one('#queue_button [data-part="count"]');
    if (count) count.textContent = waiting().length ? `${waiting().length} waiting` : 'Queue';
    LW.one('#queue_button')?.setAttribute('aria-label', `Queue: ${running() ? 1 : 0} running, ${waiting().length} waiting`);
    const job = running();
    document.title = (job ? `${Math.round(job.fraction * 100)}% · ` : '') + 'Latent WebUI';
    const place = LW.one('#connection');
    const words = tries > 1 ? 'Not connected. Trying again' : '';
    if (place && place.textContent !== words) place.textContent = words;
  }

  function connect() {
    clearTimeout(retry);
    stream?.close();
    stream = new EventSource(LW.address('api/v1/events'));
    stream.onmessage = message => { tries = 0; take(JSON.parse(message.data)); };
    stream.onerror = () => { /* the browser's own retry gives up on some answers, so we do it */
      stream.close();
      tries++;
      header();
      retry = setTimeout(connect, Math.min(LONGEST_WAIT_MS, 300 * 2 ** tries));
    };
  }
  /* a browser has six connections to a server: a page that nobody sees gives its own back */
  document.addEventListener('visibilitychange', () => {
    clearTimeout(sleep);
    if (document.hidden) sleep = setTimeout(() => { clearTimeout(retry); stream?.close(); stream = null; }, HIDDEN_MS);
    else if (!stream) connect();
  });
  addEventListener('online', connect);
  addEventListener('pagehide', () => stream?.close());
  addEventListener('pageshow', event => { if (event.persisted) connect(); });

  Object.assign(LW, { jobs, views, isOpen, hasPictures, running, waiting, post, header });
  connect();
})();
