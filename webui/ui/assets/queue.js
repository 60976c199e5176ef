/* The Queue tab: one line per job, drawn anew when a job changes its state, filled in while it runs. */
(() => {
  const { one, all, part, element, address } = LW;
  let root = null, drawn = '';
  const TITLES = { running: 'Running', waiting: 'Waiting', ended: 'Finished' };
  const group = job => LW.isOpen(job) ? job.state : 'ended';
  const clock = seconds => new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

  function what(job) {
    const r = job.request;
    const parts = [job.tab, r.width && r.height ? `${r.width} × ${r.height}` : '', r.sampler, r.steps ? `${r.steps} steps` : '',
      job.pictures > 1 ? `${job.pictures} pictures` : ''];
    return parts.filter(Boolean).join(' · ');
  }
  /* what was asked, where there are no words */
  function titleOf({ request: r }) {
    if (r.prompt) return r.prompt;
    if (r.upscaler) return `Upscale with ${r.upscaler}`;
    if (r.class_label) return `Class ${r.class_label}`;
    if (r.boxes?.length) return `A layout of ${r.boxes.length} ${r.boxes.length === 1 ? 'box' : 'boxes'}`;
    return r.map ? 'A label map' : r.image ? 'A picture' : 'No prompt';
  }
  function noteOf(job) {
    if (job.state === 'running') return job.step ? `Step ${job.step} of ${job.steps}` + (job.pictures > 1 ? ` · picture ${job.picture} of ${job.pictures}` : '') : 'Getting ready';
    if (job.state === 'waiting') return `Asked at ${clock(job.created)}`;
    if (job.state === 'failed') return job.error;
    if (job.state === 'interrupted') return job.step ? `Interrupted at step ${job.step} of ${job.steps}` : 'Interrupted';
    return `Done at ${clock(job.ended)}, in ${Math.max(1, Math.round(job.ended - job.started))} s`;
  }
  function fill(row, job) {
    part(row, 'note').textContent = noteOf(job);
    const bar = one('.bar', row);
    bar.hidden = job.state !== 'running';
    bar.setAttribute('aria-valuenow', Math.round(job.fraction * 100));
    one('i', bar).style.width = `${job.fraction * 100}%`;
  }
  function line(job) {
    const row = part(root, 'row').content.cloneNode(true).firstElementChild;
    row.dataset.job = job.id;
    row.classList.add(job.state);
    part(row, 'title').textContent = titleOf(job);
    part(row, 'what').textContent = what(job);
    if (LW.hasPictures(job)) part(row, 'cover').replaceChildren(element('img', { src: address(`api/v1/jobs/${encodeURIComponent(job.id)}/images/0.jpg`), alt: '', width: 44, height: 44 }));
    const wanted = { running: ['interrupt'], waiting: ['remove'] }[job.state] ?? (LW.hasPictures(job) ? ['sendto', 'show'] : []);
    for (const tool of all('.job-tools button', row)) {
      if (wanted.includes(tool.dataset.do)) tool.dataset.job = job.id;
      else tool.remove();
    }
    fill(row, job);
    return row;
  }
  function draw() {
    if (!root?.isConnected) return;
    const jobs = [...LW.jobs.values()];
    const key = jobs.map(job => `${job.id}${job.state}${job.images.length > 0}`).join();
    if (key !== drawn) {
      drawn = key;
      const focus = document.activeElement?.closest?.('#queue_list .job')?.dataset.job;
      const parts = [];
      for (const name of Object.keys(TITLES)) {
        const mine = jobs.filter(job => group(job) === name);
        if (name === 'ended') mine.sort((a, b) => b.ended - a.ended);
        if (mine.length) parts.push(element('h3', { textContent: TITLES[name] }), element('ol', { className: 'jobs' }, ...mine.map(line)));
      }
      if (!parts.length) parts.push(element('div', { className: 'empty' }, element('h2', { textContent: 'Nothing waits' }), element('p', { textContent: 'Press Generate as often as you like: jobs line up here, one after the other.' })));
      part(root, 'jobs').replaceChildren(...parts);
      if (focus) all('.job', root).find(row => row.dataset.job === focus)?.querySelector('button')?.focus();
    } else for (const row of all('.job.running', root)) fill(row, LW.jobs.get(row.dataset.job));
  }
  LW.views.push(draw);
  LW.actions.remove = b => LW.post(`api/v1/jobs/${encodeURIComponent(b.dataset.job)}`, 'DELETE');
  LW.queue = { mount(element) { root = element; drawn = ''; draw(); } };
})();
