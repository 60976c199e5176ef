/* A finished picture goes on: to another tab with its prompt and settings, into its own tab as the next input, or once more
   with the hires pass. */
(() => {
  const { address } = LW;
  const SETTINGS_STAY = new Set(['image', 'mask', 'depth', 'second_image', 'strength', 'checkpoint', 'batch_count', 'batch_size']);
  const HIRES = /^hires_/;
  let count = 0;

  /* fields of the request that made the picture, with its own seed and its real size; from an enlarged one, its words */
  function values(job, image, to) {
    const { request } = job, isMaking = 'sampler' in request;
    const all = isMaking ? { ...request, seed: image.seed } : { prompt: request.prompt, negative_prompt: request.negative_prompt };
    const isAlike = job.tab === to; /* its own tab takes all back */
    const kept = Object.entries(all).filter(([name, value]) => value !== null && !SETTINGS_STAY.has(name) && (isAlike || !HIRES.test(name)) && !/^extend_/.test(name));
    if (isAlike) return Object.fromEntries(kept);
    if (to === 'upscale') return Object.fromEntries(kept.filter(([name]) => !/^(width|height|tile)$/.test(name))); /* there they ask for a size, and by default a factor does */
    return { ...Object.fromEntries(kept), ...(isMaking ? { width: Math.min(8192, Math.max(64, image.width)), height: Math.min(8192, Math.max(64, image.height)) } : {}) };
  }
  const pictureOf = (job, image) => address(`api/v1/jobs/${encodeURIComponent(job.id)}/images/${image.index}.png`);

  async function send(job, image, to) {
    if (to !== 'txt2img') {
      const isHere = job.tab === to;
      if (!isHere) LW.take.set(to, values(job, image, to));
      LW.openTab(to);
      LW.board.show(to, 'paint');
      await LW.painter.set(to, { imageUrl: pictureOf(job, image) });
      return LW.note(isHere ? 'It is the input now' : 'Sent, with its prompt and settings');
    }
    LW.take.set(to, values(job, image, to));
    LW.openTab(to);
    LW.note('Its prompt and settings are here');
  }
  Object.assign(LW.actions, {
    send(b) {
      const found = b.dataset.job ? LW.jobs.get(b.dataset.job) : LW.stage.shown(b.dataset.tab)?.job;
      const image = b.dataset.job ? found?.images.at(-1) : LW.stage.shown(b.dataset.tab)?.image;
      b.closest('[popover]')?.hidePopover();
      if (found && image) send(found, image, b.dataset.to);
    },
    /* a menu beside a button of the queue: where its last picture goes */
    sendto(b) {
      const menu = LW.one('#queue_send'), box = b.getBoundingClientRect();
      for (const entry of menu.querySelectorAll('[data-do="send"]')) entry.dataset.job = b.dataset.job;
      menu.showPopover();
      menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - menu.offsetWidth - 8))}px`;
      menu.style.top = `${Math.min(box.bottom + 4, innerHeight - menu.offsetHeight - 8)}px`;
      menu.querySelector('button').focus();
    },
    hires(b) {
      const { job, image } = LW.stage.shown(b.dataset.tab) ?? {};
      if (!job) return;
      const request = { ...job.request, seed: image.seed, batch_size: 1, batch_count: 1 };
      LW.setBox(`${b.dataset.tab}_hires_again`, JSON.stringify({ values: request, n: `${Date.now()} ${count++}` }));
    },
  });
})();
