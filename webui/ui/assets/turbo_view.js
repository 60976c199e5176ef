/* What comes out on the Turbo tab: frames onto a canvas, at most one for each picture of the screen, and the readout.
   A canvas keeps the last picture until the next is drawn, so nothing flickers and no address must be given back. */
(() => {
  const { one, part } = LW;
  const WINDOW_MS = 2000, READ_MS = 200, SHOWN_LATENCIES = 60, KEPT_LATENCIES = 10_000, FEWEST_LATENCIES = 6; /* fewer make no line that says anything */

  /* on: {drawn(told), damaged(told)} */
  LW.liveView = (root, on) => {
    const canvas = one('#turbo_image', root), pen = canvas.getContext('2d'), out = part(root, 'out');
    const sent = new Map(); /* input -> when it was sent */
    let waiting = null, handle = 0, turn = 0, decoded = 0;
    let times = [], latencies = [], frames = 0, first = 0, last = 0, read = -READ_MS, timer, network = '';

    /* decoding runs beside the page: an older frame that is ready later is dropped */
    async function frame(told, jpeg) {
      const mine = ++turn;
      let bitmap;
      try { bitmap = await createImageBitmap(jpeg); } catch { return on.damaged(told); }
      if (mine < decoded) return bitmap.close();
      decoded = mine;
      waiting?.bitmap.close();
      waiting = { told, bitmap };
      wake();
    }
    const wake = () => { if (waiting) handle ||= requestAnimationFrame(paint); };
    function paint() {
      handle = 0;
      if (!waiting || !root.isConnected || !canvas.offsetParent) return; /* the newest waits until the tab is seen again */
      const { told, bitmap } = waiting;
      waiting = null;
      if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
        Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
        fit(bitmap.width, bitmap.height);
      }
      pen.drawImage(bitmap, 0, 0);
      bitmap.close();
      measure(told);
      on.drawn(told);
    }
    /* the same rule as on the other stages: small pictures are not blown up more than five times */
    function fit(width, height) {
      const most = Math.max(width, height) < 512 ? 5 * width : Math.max(width, Math.round(1024 * width / Math.max(width, height)));
      const pair = out.parentElement.style;
      pair.setProperty('--ratio', `${width}/${height}`);
      pair.setProperty('--most', `${most}px`);
    }

    /* from sending an input to the first picture of it on the screen, by the browser's own clock */
    function measure(told) {
      const now = performance.now(), began = sent.get(told.input);
      frames++;
      first ||= now;
      last = now;
      times.push(now);
      network = `Of it ${Math.round(told.ms)} ms in the program, ${Math.round(told.network_ms)} ms of those in the networks`;
      if (began !== undefined) latencies.push(now - began);
      if (latencies.length > KEPT_LATENCIES) latencies.shift();
      for (const input of sent.keys()) if (input <= told.input) sent.delete(input);
      tick();
      timer ??= setInterval(tick, READ_MS);
    }
    /* the letters of a node that is there: a new node would have the styles of all that stands around it looked up again */
    function put(name, text) {
      const place = part(root, name), node = place.firstChild;
      if (!node) place.textContent = text;
      else if (node.data !== text) node.data = text;
    }
    function tick() {
      const now = performance.now();
      if (now - read < READ_MS * .9) return; /* numbers that change more often cannot be read */
      read = now;
      times = times.filter(time => time > now - WINDOW_MS);
      if (!times.length) { clearInterval(timer); timer = undefined; }
      const rate = times.length * 1000 / WINDOW_MS;
      put('rate', rate.toFixed(rate >= 20 || !rate ? 0 : 1));
      const shown = latencies.slice(-SHOWN_LATENCIES), top = Math.max(50, ...shown);
      if (!shown.length) return;
      put('latency', String(Math.round(shown.at(-1))));
      part(root, 'latency-box').title = network;
      if (shown.length >= FEWEST_LATENCIES) one('.spark polyline', root).setAttribute('points', shown.map((ms, i) => `${(i + SHOWN_LATENCIES - shown.length) * 120 / (SHOWN_LATENCIES - 1)},${27 - 26 * ms / top}`).join(' '));
    }

    return {
      frame, fit, wake,
      sent(input) { sent.set(input, performance.now()); },
      /* frames of a connection that is gone are not shown any more */
      forget() { turn++; decoded = turn; waiting?.bitmap.close(); waiting = null; sent.clear(); },
      clear() { pen.clearRect(0, 0, canvas.width, canvas.height); },
      counts: () => ({ frames, seconds: frames > 1 ? (last - first) / 1000 : 0, latencies: [...latencies] }),
      recount() { frames = first = last = 0; latencies = []; },
    };
  };
})();
