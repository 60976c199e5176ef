/* The pictures that were kept on the Turbo tab, newest first, from the queue's events. A click shows one in the place of the
   live picture, with how it was made and where it can go. */
(() => {
  const { one, all, part, element, address } = LW;
  const MOST = 40;

  LW.liveKept = (root, on) => {
    const strip = part(root, 'kept'), menu = one('#turbo_kept_menu', root), view = part(root, 'kept-view');
    let key = null, pressed = ''; /* of the job whose menu was open when its thumb was pressed: that press closes it */
    const url = (job, ending) => address(`api/v1/jobs/${encodeURIComponent(job.id)}/images/0.${ending}`);
    const kept = () => [...LW.jobs.values()].filter(job => job.tab === 'turbo' && (LW.isOpen(job) || LW.hasPictures(job))).sort((a, b) => b.created - a.created).slice(0, MOST);

    function tile(job) {
      if (!job.images.length) {
        const waiting = element('span', { className: 'thumb live' });
        waiting.setAttribute('role', 'img');
        waiting.setAttribute('aria-label', 'A picture that is being kept');
        return waiting;
      }
      const thumb = element('button', { type: 'button', className: 'thumb' }, element('img', { src: url(job, 'jpg'), alt: '', width: 56, height: 56 }));
      Object.assign(thumb.dataset, { do: 'kept', job: job.id });
      thumb.setAttribute('aria-label', `Kept picture, seed ${job.images[0].seed}: ${job.request.prompt || 'no prompt'}`);
      thumb.setAttribute('aria-pressed', 'false');
      return thumb;
    }
    function draw() {
      const jobs = kept(), now = jobs.map(job => `${job.id}${job.images.length}`).join();
      if (now === key) return;
      key = now;
      const focus = document.activeElement?.closest?.('.thumb')?.dataset.job;
      strip.replaceChildren(...jobs.map(tile));
      strip.hidden = !jobs.length;
      part(root, 'kept-hint').hidden = Boolean(jobs.length);
      if (focus) one(`.thumb[data-job="${CSS.escape(focus)}"]`, strip)?.focus();
    }

    function open(thumb) {
      const job = LW.jobs.get(thumb.dataset.job), image = job?.images[0];
      const isOpen = menu.matches(':popover-open'), wasOpen = pressed === job?.id || (isOpen && menu.dataset.job === job?.id);
      pressed = '';
      if (isOpen) menu.hidePopover();
      if (!image || wasOpen) return;
      for (const each of all('.thumb', strip)) each.setAttribute?.('aria-pressed', each === thumb);
      const lines = image.infotext.split('\n');
      part(menu, 'prompt').textContent = job.request.prompt || 'No prompt';
      part(menu, 'values').textContent = lines.at(-1);
      for (const entry of all('[data-do="send"], [data-do="copykept"]', menu)) entry.dataset.job = job.id;
      const file = part(menu, 'download');
      file.href = url(job, 'png');
      file.download = image.path.split('/').at(-1) || `${image.seed}.png`;
      Object.assign(view, { src: url(job, image.path ? 'png' : 'jpg'), alt: job.request.prompt || 'Kept picture', hidden: false });
      menu.dataset.job = job.id;
      menu.showPopover();
      const box = thumb.getBoundingClientRect();
      menu.style.left = `${Math.max(8, Math.min(box.left + box.width / 2 - menu.offsetWidth / 2, innerWidth - menu.offsetWidth - 8))}px`;
      menu.style.top = `${Math.max(8, box.top - menu.offsetHeight - 8)}px`;
    }
    strip.addEventListener('pointerdown', event => {
      const { job } = event.target.closest('button.thumb')?.dataset ?? {};
      pressed = job && menu.matches(':popover-open') && menu.dataset.job === job ? job : '';
    });
    menu.addEventListener('toggle', event => {
      if (event.newState === 'open') return;
      view.hidden = true;
      for (const each of all('button.thumb', strip)) each.setAttribute('aria-pressed', 'false');
    });
    LW.actions.kept = open;
    LW.actions.copykept = b => { menu.hidePopover(); LW.copy(LW.jobs.get(b.dataset.job)?.images[0].infotext ?? ''); };

    draw();
    return { draw, failed: event => { if (event.kind === 'failed' && event.job?.tab === 'turbo') on.said(event.job.error); } };
  };
})();
