/* The picture that goes into the Turbo tab, from a file, a brush or a camera: always one canvas, of the shape that is drawn,
   which is handed on as a JPEG. What was opened or painted outlives a reload of the page. */
(() => {
  const { one, part, shelf } = LW;
  const SIDE = 512, MOST_SIDE = 1024, QUALITY = .9, KEPT = 'lw-turbo-picture', MOST_FILE = 50 * 2 ** 20;
  const WORDS = {
    file: 'Drop a picture here, paste one, or open a file.',
    paint: 'Paint here, and the picture follows. A picture can be dropped here too.',
    camera: 'The picture follows the camera.',
  };
  const CAMERA = {
    NotAllowedError: 'The browser does not allow the camera. Allow it beside the address, then start it again.',
    NotFoundError: 'No camera was found. Connect one, or open a picture file.',
    NotReadableError: 'Another program has the camera. Close that one, then start it again.',
  };
  const NO_CAMERA = 'The browser gives a camera only to pages of this machine or over https. Open the page as http://localhost, or open a picture file.';

  /* on: {changed(), said(words), chose(kind)} */
  LW.liveInput = (root, on) => {
    const canvas = part(root, 'canvas'), pen = canvas.getContext('2d', { willReadFrequently: true }), figure = part(root, 'in');
    const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
    const surface = { canvas, pen, kind: () => kind };
    let uncut = null; /* what was on the canvas before its shape changed, until it is changed by hand: nothing is cut off for good */
    let kind = 'none', hasPicture = false, stream = null, starting = 0, wasFilming = false, film = 0;
    const brush = LW.liveBrush(root, surface, { painted(isDone) { hasPicture = true; uncut = null; draw(); on.changed(); if (isDone) keep(); } });

    function blank() {
      pen.fillStyle = '#fff'; /* paper */
      pen.fillRect(0, 0, canvas.width, canvas.height);
    }
    /* the canvas takes the shape of what is drawn; what is on it is cut to fill that */
    function fit(width, height) {
      const side = Math.min(MOST_SIDE, Math.max(SIDE, width, height)) / Math.max(width, height);
      const [wide, high] = [width, height].map(pixels => Math.max(1, Math.round(pixels * side)));
      if (!(wide > 0 && high > 0) || (canvas.width === wide && canvas.height === high)) return;
      if (!uncut) {
        uncut = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
        uncut.getContext('2d').drawImage(canvas, 0, 0);
      }
      Object.assign(canvas, { width: wide, height: high });
      brush.forget(); /* its steps have the old shape */
      blank();
      if (hasPicture) { cover(uncut, uncut.width, uncut.height); on.changed(); }
    }
    function cover(image, width, height, isMirrored = false) {
      const by = Math.max(canvas.width / width, canvas.height / height), [w, h] = [width * by, height * by];
      pen.save();
      if (isMirrored) { pen.translate(canvas.width, 0); pen.scale(-1, 1); }
      pen.imageSmoothingQuality = 'high';
      pen.drawImage(image, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
      pen.restore();
    }

    async function open(file) {
      if (!file) return;
      if (file.size > MOST_FILE) return on.said(`The picture has ${Math.round(file.size / 2 ** 20)} MB. It can have 50 MB.`);
      let bitmap;
      try { bitmap = await createImageBitmap(file); } catch { return on.said(`${file.name || 'This'} cannot be opened as a picture. Take a PNG, JPEG or WebP file.`); }
      on.said('');
      if (kind !== 'paint') on.chose('file');
      if (hasPicture) brush.remember();
      blank(); /* behind what is transparent */
      cover(bitmap, bitmap.width, bitmap.height);
      bitmap.close();
      hasPicture = true;
      uncut = null;
      keep();
      draw();
      on.changed();
    }
    function clear() {
      if (hasPicture) brush.remember();
      blank();
      uncut = null;
      hasPicture = false; /* the words alone draw again */
      keep();
      draw();
      on.changed();
    }
    function keep() { shelf('sessionStorage', KEPT, hasPicture ? canvas.toDataURL('image/jpeg', QUALITY) : ''); }
    function restore() {
      const kept = shelf('sessionStorage', KEPT);
      if (!kept) return;
      const image = new Image();
      image.onload = () => { if (hasPicture || kind === 'camera') return; cover(image, image.width, image.height); hasPicture = true; draw(); on.changed(); };
      image.src = kept;
    }

    /* ---- camera ---- */
    async function start() {
      if (!navigator.mediaDevices?.getUserMedia) return on.said(NO_CAMERA);
      const mine = ++starting;
      try {
        const got = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: 'user' } });
        if (mine !== starting || kind !== 'camera') return got.getTracks().forEach(track => track.stop()); /* it was left meanwhile */
        stream = got;
        video.srcObject = got;
        await video.play();
      } catch (error) {
        stop();
        return mine + 1 === starting && on.said(CAMERA[error.name] ?? 'The camera could not be started. Open a picture file instead.');
      }
      stream.getVideoTracks()[0]?.addEventListener('ended', () => { stop(); on.said('The camera has stopped. Start it again, or open a picture file.'); });
      on.said('');
      hasPicture = true;
      draw();
      look();
    }
    function look() {
      if (!stream) return;
      if (video.readyState >= 2 && canvas.offsetParent) {
        cover(video, video.videoWidth, video.videoHeight, true); /* as in a mirror */
        on.changed();
      }
      film = requestAnimationFrame(look);
    }
    function stop() {
      starting++;
      cancelAnimationFrame(film);
      stream?.getTracks().forEach(track => track.stop());
      if (stream) { hasPicture = false; blank(); }
      stream = video.srcObject = null;
      draw();
    }

    /* ---- what is shown ---- */
    function draw() {
      figure.hidden = kind === 'none';
      figure.dataset.kind = kind;
      canvas.setAttribute('aria-label', !hasPicture ? 'Nothing opened yet' : kind === 'camera' ? 'What the camera sees' : kind === 'paint' ? 'What was painted' : 'The picture that was opened');
      part(root, 'blank').hidden = hasPicture;
      part(root, 'blank-words').textContent = WORDS[kind] ?? '';
      one('.live-open', root).hidden = kind !== 'file';
      part(root, 'start').hidden = kind !== 'camera';
      part(root, 'stop').hidden = kind !== 'camera' || !stream;
      part(root, 'clear').hidden = kind === 'camera' || !hasPicture;
      part(root, 'undo').hidden = kind !== 'paint';
      part(root, 'brush').hidden = kind !== 'file' || !hasPicture;
      part(root, 'open').hidden = kind === 'camera' || (kind === 'file' && !hasPicture);
    }
    function choose(next, isByHand) {
      if (next === kind) return;
      const before = kind;
      kind = next;
      if (before === 'camera') { stop(); restore(); }
      if (next === 'camera') { hasPicture = false; uncut = null; brush.forget(); blank(); if (isByHand) start(); }
      draw();
      on.changed();
    }

    const file = part(root, 'file');
    file.addEventListener('change', () => { open(file.files[0]); file.value = ''; });
    figure.addEventListener('keydown', brush.keydown);
    for (const name of ['dragover', 'dragleave', 'drop']) root.addEventListener(name, event => {
      if (![...event.dataTransfer?.types ?? []].includes('Files')) return;
      event.preventDefault();
      event.stopPropagation();
      root.classList.toggle('over', name === 'dragover');
      if (name === 'drop') open([...event.dataTransfer.files].find(each => each.type.startsWith('image/')) ?? event.dataTransfer.files[0]);
    });
    blank();
    restore();
    draw();

    return {
      choose, open, clear, fit, brush, pick: () => file.click(),
      camera: () => (stream ? stop() : start()),
      get kind() { return kind; },
      get hasPicture() { return kind !== 'none' && hasPicture; },
      /* the camera is off while nobody sees the tab, and on again after it */
      rest() { wasFilming = Boolean(stream); if (wasFilming) stop(); },
      wake() { if (wasFilming && kind === 'camera') start(); wasFilming = false; },
      /* as a JPEG of at most the size that is drawn */
      encode(width, height) {
        const by = Math.min(1, Math.max(width / canvas.width, height / canvas.height));
        const small = document.createElement('canvas');
        Object.assign(small, { width: Math.round(canvas.width * by), height: Math.round(canvas.height * by) });
        const fine = small.getContext('2d');
        fine.imageSmoothingQuality = 'high';
        fine.drawImage(canvas, 0, 0, small.width, small.height);
        return new Promise(done => small.toBlob(done, 'image/jpeg', QUALITY)).then(blob => blob?.arrayBuffer());
      },
    };
  };
})();
