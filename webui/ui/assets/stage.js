/* The stages of the tabs: preview while a job runs, then its pictures with a strip and the infotext of the one chosen. */
(() => {
  const { one, all, part, element, address } = LW;
  const PREVIEW_MS = 300; /* between two previews: each takes the processor from the job for some milliseconds */
  const stages = new Map(); /* tab -> what its stage shows, kept while Gradio builds the tab anew */
  const of = tab => {
    if (!stages.has(tab)) stages.set(tab, { tab, root: null, pinned: '', chosen: -1, message: '', told: '', isComparing: (LW.shelf('sessionStorage', `lw-compare-${tab}`) ?? String(tab === 'upscale')) === 'true' });
    return stages.get(tab);
  };
  const jobsOf = tab => [...LW.jobs.values()].filter(job => job.tab === tab);

  /* which job a stage is about: the one that runs or waits, and the one whose pictures lie there */
  const active = tab => jobsOf(tab).find(job => job.state === 'running') ?? jobsOf(tab).find(job => job.state === 'waiting');
  function shown(stage) {
    const now = active(stage.tab);
    if (now?.images.length) return now;
    const pinned = LW.jobs.get(stage.pinned);
    if (pinned && LW.hasPictures(pinned)) return pinned;
    return jobsOf(stage.tab).filter(LW.hasPictures).sort((a, b) => a.ended - b.ended).at(-1);
  }
  const chosenIndex = (stage, job) => stage.chosen >= 0 && stage.chosen < job.images.length ? stage.chosen : job.images.length - 1;
  const pictureUrl = (job, image) => address(`api/v1/jobs/${encodeURIComponent(job.id)}/images/${image.index}.${image.path ? 'png' : 'jpg'}`);
  const thumbUrl = (job, image) => address(`api/v1/jobs/${encodeURIComponent(job.id)}/images/${image.index}.jpg`);

  /* what went in, and where in the finished picture it lies; null where nothing did */
  function before({ request: r, tab }, image) {
    if (!r.image || tab === 'txt2img') return null;
    const across = (r.extend_left ?? 0) + (r.extend_right ?? 0), down = (r.extend_top ?? 0) + (r.extend_bottom ?? 0);
    const width = across + (r.only_masked || !r.width ? image.width - across : r.width), height = down + (r.only_masked || !r.height ? image.height - down : r.height);
    const inset = r.resize === undefined ? [0, 0, 0, 0] : [r.extend_top / height, r.extend_right / width, r.extend_bottom / height, r.extend_left / width].map(share => share * 100);
    const fit = r.resize === undefined ? 'cover' : r.only_masked ? 'fill' : { crop: 'cover', fill: 'contain' }[r.resize] ?? 'fill';
    return { url: address(`api/v1/inputs/${encodeURIComponent(r.image)}`), fit, inset };
  }
  /* the size that a job's picture will have, as far as its request says */
  function expected({ request: r, tab }, next) {
    const source = LW.painter.state(tab), isEnlarging = r.resize === undefined;
    if (!isEnlarging && r.only_masked && next) return [next.naturalWidth, next.naturalHeight]; /* the part that is drawn */
    const width = r.width || source.width || next?.naturalWidth || 512, height = r.height || source.height || next?.naturalHeight || 512;
    if (isEnlarging) return r.width && r.height ? [width, height] : [source.width || width, source.height || height];
    if (r.only_masked) return [source.width || width, source.height || height];
    const by = r.hires_width && r.hires_height ? 1 : r.hires_scale ?? 1;
    const [across, down] = r.hires_width && r.hires_height ? [r.hires_width, r.hires_height] : [width + r.extend_left + r.extend_right, height + r.extend_top + r.extend_bottom];
    return [Math.round(across * by), Math.round(down * by)];
  }

  /* the rectangle is known before the first step; small pictures are not blown up more than five times */
  function size(figure, width, height) {
    const most = Math.max(width, height) < 512 ? 5 * width : Math.max(width, Math.round(1024 * width / Math.max(width, height)));
    figure.style.setProperty('--ratio', `${width}/${height}`);
    figure.style.setProperty('--most', `${most}px`);
  }
  function frame(holder, width, height, alt) {
    let figure = one('.picture:not(.blank)', holder);
    if (!figure) {
      figure = element('figure', { className: 'picture' }, element('img', { decoding: 'sync', draggable: true }));
      holder.replaceChildren(figure);
    }
    size(figure, width, height);
    const img = one('img', figure);
    if (img.alt !== alt) img.alt = alt;
    return img;
  }

  function drawGallery(stage, job, isPreviewed) {
    const gallery = one('.gallery', stage.root);
    gallery.classList.toggle('behind', isPreviewed);
    if (!job) return gallery.replaceChildren();
    let viewer = one('.viewer', gallery), strip = one('.strip', gallery);
    if (!viewer) {
      viewer = element('div', { className: 'viewer' });
      strip = element('div', { className: 'strip' });
      strip.setAttribute('role', 'group');
      strip.setAttribute('aria-label', 'Pictures of this job');
      gallery.replaceChildren(viewer, strip);
    }
    const index = chosenIndex(stage, job), image = job.images[index];
    const img = frame(viewer, image.width, image.height, job.request.prompt || 'Picture without a prompt');
    const url = pictureUrl(job, image), key = `${job.id}/${image.index}`;
    if (img.dataset.key === key && img.dataset.url !== url) { /* saved meanwhile: the file takes the place of the quick JPEG, unseen */
      const file = new Image();
      file.onload = () => { if (img.dataset.url === url) img.src = url; };
      file.src = url;
    } else if (img.dataset.url !== url) img.src = url;
    Object.assign(img.dataset, { key, url });
    const figure = img.closest('.picture'), under = stage.isComparing && before(job, image);
    if (under) LW.compare.on(figure, stage.tab, under);
    else LW.compare.off(figure);
    drawStrip(stage, strip, job, index, isPreviewed);
  }

  function drawStrip(stage, strip, job, index, isPreviewed) {
    const hasLive = job.state === 'running' && job.images.length < job.pictures;
    const key = `${job.id}:${job.images.length}:${hasLive}`;
    strip.hidden = job.images.length + hasLive < 2;
    if (strip.dataset.key !== key) {
      strip.dataset.key = key;
      const thumbs = strip.hidden ? [] : job.images.map((image, i) => {
        const thumb = element('button', { type: 'button', className: 'thumb' }, element('img', { src: thumbUrl(job, image), alt: '', width: 56, height: 56 }));
        Object.assign(thumb.dataset, { do: 'pick', tab: stage.tab, index: i });
        thumb.setAttribute('aria-label', `Picture ${i + 1}, seed ${image.seed}`);
        return thumb;
      });
      if (hasLive) {
        const live = element('button', { type: 'button', className: 'thumb live', title: 'Watch the picture being made' });
        Object.assign(live.dataset, { do: 'pick', tab: stage.tab, index: -1 });
        live.setAttribute('aria-label', live.title);
        thumbs.push(live);
      }
      strip.replaceChildren(...thumbs);
    }
    for (const thumb of all('.thumb', strip)) thumb.setAttribute('aria-pressed', isPreviewed ? thumb.dataset.index === '-1' : +thumb.dataset.index === index);
  }

  function drawPreview(stage, job, isPreviewed, isBlank) {
    const holder = part(stage.root, 'preview');
    const isReady = isPreviewed && holder.dataset.job === job.id;
    holder.hidden = !isReady && !isBlank;
    if (isBlank && !isReady) { /* nothing to see yet: the rectangle that the picture will take */
      const figure = element('figure', { className: 'picture blank' });
      size(figure, ...expected(job));
      holder.replaceChildren(figure);
    }
    if (!isPreviewed) { if (!job) holder.replaceChildren(); return; }
    const key = `${job.id}?n=${job.preview}`;
    if (holder.dataset.loading || holder.dataset.key === key) return;
    const early = PREVIEW_MS - (performance.now() - (stage.previewed ?? -PREVIEW_MS));
    if (early > 0) { stage.later ??= setTimeout(() => { stage.later = undefined; draw(stage); }, early); return; }
    stage.previewed = performance.now();
    holder.dataset.loading = '1';
    const next = new Image();
    next.onload = next.onerror = event => {
      delete holder.dataset.loading;
      Object.assign(holder.dataset, { key, job: job.id });
      if (event.type === 'load') {
        frame(holder, ...expected(job, next), 'Preview of the picture being made').src = next.src;
      }
      draw(stage);
    };
    next.src = address(`api/v1/jobs/${encodeURIComponent(job.id)}/preview.jpg?n=${job.preview}`);
  }

  function left(seconds) {
    if (seconds == null) return '';
    if (seconds < 1) return 'a moment left';
    return seconds < 90 ? `${Math.round(seconds)} s left` : `${Math.round(seconds / 60)} min left`;
  }
  function stepText(job) {
    if (job.state === 'waiting') {
      const before = LW.waiting().findIndex(other => other.id === job.id) + (LW.running() ? 1 : 0);
      return before > 0 ? `Waiting for ${before} ${before === 1 ? 'job' : 'jobs'} before it` : 'Waiting';
    }
    if (!job.steps || !job.step) return 'Getting ready';
    return `Step ${job.step} of ${job.steps}` + (job.pictures > 1 ? ` · picture ${job.picture} of ${job.pictures}` : '');
  }
  function drawProgress(stage, job) {
    const bar = one('.progress', stage.root);
    bar.hidden = !job;
    if (!job) return;
    const text = stepText(job), percent = Math.round(job.fraction * 100);
    part(bar, 'step').textContent = text;
    part(bar, 'left').textContent = job.state === 'running' ? left(job.seconds_left) : '';
    one('i', bar).style.width = `${job.fraction * 100}%`;
    bar.setAttribute('aria-valuenow', percent);
    bar.setAttribute('aria-valuetext', text);
  }

  function drawInfotext(stage, job) {
    const info = one('.info', stage.root);
    info.hidden = !job;
    if (!job) return;
    const index = chosenIndex(stage, job), image = job.images[index], lines = image.infotext.split('\n');
    const values = /^(Steps|Postprocess upscale by|Postprocess upscale to): /.test(lines.at(-1)) ? lines.pop() : '';
    const cut = lines.findIndex(line => line.startsWith('Negative prompt:'));
    const words = cut < 0 ? lines : lines.slice(0, cut), without = cut < 0 ? [] : lines.slice(cut);
    for (const [name, text] of [['prompt', words.join('\n')], ['negative', without.join('\n')], ['values', values]]) {
      const line = one(`.info-${name}`, info);
      if (line.textContent !== text) line.textContent = text;
      line.hidden = !text;
    }
    part(info, 'which').textContent = image.error || (job.pictures > 1 ? `Picture ${image.index + 1} of ${LW.isOpen(job) ? job.pictures : job.images.length}` : image.path ? `Saved as ${image.path.split('/').at(-1)}` : '');
    part(info, 'which').classList.toggle('bad', Boolean(image.error));
    const compare = part(info, 'compare');
    compare.hidden = !before(job, image);
    compare.setAttribute('aria-pressed', stage.isComparing);
    const file = part(info, 'download');
    file.href = address(`api/v1/jobs/${encodeURIComponent(job.id)}/images/${image.index}.png`);
    file.download = image.path.split('/').at(-1) || `${image.seed}.png`;
  }

  function drawMessage(stage) {
    const place = one('.message', stage.root), words = part(place, 'words'), fetcher = part(place, 'fetch');
    if (words.textContent !== stage.message) words.textContent = stage.message;
    place.hidden = !stage.message;
    const missing = /`webui fetch ([\w-]+)`/.exec(stage.message)?.[1] ?? ''; /* a file that is not bundled: fetched when asked */
    if (fetcher.dataset.name !== missing) Object.assign(fetcher.dataset, { name: missing });
    fetcher.hidden = !missing;
    const said = part(stage.root, 'said');
    if (said.textContent !== stage.told) said.textContent = stage.told;
  }

  function drawNotes(stage, job) {
    const place = one('.notes', stage.root), words = (job?.notes ?? []).join(' ');
    if (place.textContent !== words) place.textContent = words;
    place.hidden = !words || Boolean(stage.message) || LW.isOpen(job);
  }

  function draw(stage) {
    const stop = one(`#${stage.tab}_interrupt`), now = active(stage.tab);
    if (stop) stop.disabled = !now;
    if (!stage.root?.isConnected) return;
    const job = shown(stage);
    const isPreviewed = Boolean(now?.state === 'running' && now.preview > 0 && stage.chosen < 0);
    drawPreview(stage, now, isPreviewed, Boolean(now?.state === 'running' && !job));
    drawGallery(stage, job, isPreviewed && !part(stage.root, 'preview').hidden);
    drawProgress(stage, now);
    drawInfotext(stage, job);
    drawMessage(stage);
    drawNotes(stage, job);
    const state = one('.show', stage.root);
    state.dataset.state = job ? 'done' : now ? 'running' : 'empty';
    state.dataset.many = (now ?? job)?.pictures > 1;
    part(stage.root, 'empty').hidden = Boolean(job || now);
  }

  function ending(job) {
    if (job.state === 'finished') return job.images.length > 1 ? `${job.images.length} pictures are done` : 'The picture is done';
    if (job.state === 'interrupted') {
      const where = job.step ? `Interrupted at step ${job.step} of ${job.steps}.` : 'Interrupted before the first step.';
      return where + (job.images.length ? ' Finished pictures are kept.' : '');
    }
    return job.error;
  }
  LW.views.push(event => {
    const job = event.job;
    if (job) {
      const stage = of(job.tab);
      if (event.kind === 'started') Object.assign(stage, { chosen: -1, pinned: '', message: '', told: 'Generating' });
      if (event.kind === 'finished') stage.told = ending(job);
      if (event.kind === 'interrupted' || event.kind === 'failed') Object.assign(stage, { message: ending(job), told: '' });
    } else if (event.kind === 'snapshot') { /* a page that opens late still says how the last job ended */
      for (const last of new Map([...LW.jobs.values()].map(job => [job.tab, job])).values())
        if (last.state === 'failed' && !of(last.tab).message) of(last.tab).message = last.error;
    }
    stages.forEach(draw);
  });

  Object.assign(LW.actions, {
    pick(b) { of(b.dataset.tab).chosen = +b.dataset.index; draw(of(b.dataset.tab)); },
    compare(b) {
      const stage = of(b.dataset.tab);
      stage.isComparing = !stage.isComparing;
      LW.shelf('sessionStorage', `lw-compare-${stage.tab}`, stage.isComparing);
      draw(stage);
    },
    copy(b) { const stage = of(b.dataset.tab), job = shown(stage); if (job) LW.copy(job.images[chosenIndex(stage, job)].infotext); },
    async fetch(b) {
      const stage = of(b.dataset.tab), name = b.dataset.name, words = one('span', b), before = words.textContent;
      const watch = setInterval(async () => {
        const rows = await fetch(address('api/v1/fetch')).then(answer => answer.json()).catch(() => []);
        const row = rows.find(row => row.name === name);
        if (b.disabled && row?.total) words.textContent = `Fetching ${Math.floor(100 * row.done / row.total)} %`;
      }, 1000);
      b.disabled = true;
      words.textContent = 'Fetching';
      try {
        const answer = await fetch(address('api/v1/fetch'), { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name }) });
        stage.message = answer.ok ? '' : (await answer.json()).detail;
        if (answer.ok) LW.note('It is there now: press Generate again');
      } catch { LW.note('Not connected'); }
      clearInterval(watch);
      b.disabled = false;
      words.textContent = before;
      draw(stage);
    },
    interrupt(b) {
      const id = b.dataset.job ?? active(b.dataset.tab)?.id;
      if (id) LW.post(`api/v1/jobs/${encodeURIComponent(id)}/interrupt`);
    },
    show(b) {
      const job = LW.jobs.get(b.dataset.job);
      if (!job) return;
      Object.assign(of(job.tab), { pinned: job.id, chosen: -1, message: job.state === 'failed' ? job.error : '' });
      LW.openTab(job.tab);
      if (job.tab !== 'txt2img') LW.board.show(job.tab, 'result');
      draw(of(job.tab));
    },
  });

  LW.stage = {
    mount(root, tab) { of(tab).root = root; draw(of(tab)); },
    drawAll() { stages.forEach(draw); LW.header(); },
    /* the answer to Generate: {job, message} */
    answered(tab, answer) {
      const job = LW.jobs.get(answer?.job); /* it may have failed before its answer came, and what it said stays */
      if (answer?.message || !job || LW.isOpen(job)) LW.stage.say(tab, answer?.message);
      if (answer?.job && LW.board.has(tab)) LW.board.show(tab, 'result');
      if (answer?.jobs > 1) LW.note(`${answer.jobs} jobs are in the queue`);
      of(tab).root?.scrollIntoView({ block: 'nearest' }); /* on a phone the stage may be out of sight */
    },
    say(tab, text) { const stage = of(stages.has(tab) ? tab : 'txt2img'); stage.message = text ?? ''; draw(stage); },
    /* the picture that a stage shows, and its job; undefined where there is none */
    shown(tab) { const stage = of(tab), job = shown(stage); return job && { job, image: job.images[chosenIndex(stage, job)] }; },
    tabName: LW.tabName,
  };
  LW.shownSeed = tab => { const stage = of(tab), job = shown(stage); return job?.images[chosenIndex(stage, job)].seed; };
})();
