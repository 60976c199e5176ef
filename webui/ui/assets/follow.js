/* The controls follow the checkpoint in use: what it does not read is hidden by the sheet (:root[data-reads]), and a tab
   that it does not serve says what it needs. What was last known stands before the first paint, so that nothing jumps. */
(() => {
  const { one, all, part } = LW;
  const KEPT = 'lw-reads', root = document.documentElement;
  let facts = { reads: ['prompt', 'negative_prompt', 'width', 'height', 'clip_skip', 'emphasis', 'long_prompt'], tabs: {}, native: 512, step: 8 };

  /* guidance 0 and 1 are the prompt alone: the negative prompt stays, greyed, and says why */
  LW.guided = (tab, value) => {
    const box = one(`#${tab}_neg_prompt textarea`), why = 'Not read at guidance 0 or 1';
    if (!box) return;
    const isUnread = value === 0 || value === 1;
    box.dataset.hint ??= box.placeholder;
    box.classList.toggle('unread', isUnread);
    box.placeholder = isUnread ? why : box.dataset.hint;
    box.title = isUnread ? why : '';
  };

  function apply() {
    for (const number of all('[id$=_guidance] input[type=number]')) {
      LW.guided(number.closest('[id$=_guidance]').id.replace('_guidance', ''), number.valueAsNumber);
    }
    root.dataset.reads = facts.reads.join(' ');
    root.dataset.unserved = Object.keys(facts.tabs).filter(tab => facts.tabs[tab].why).join(' ');
    for (const box of all('.unserved-words')) {
      const { why = '', other = '', goto = '' } = facts.tabs[box.dataset.tab] ?? {}, use = part(box, 'use'), open = part(box, 'goto');
      open.hidden = !goto;
      open.dataset.tab = goto;
      one('span', open).textContent = `Open ${one(`#tab_${goto}-button`)?.textContent.trim() ?? goto}`;
      part(box, 'why').textContent = why && (other || goto ? why : `${why} Put one into models/Stable-diffusion.`);
      use.hidden = !other;
      use.dataset.title = other;
      one('span', use).textContent = `Use ${other}`;
    }
    LW.ownOptions?.drawAll();
    LW.examples?.draw();
    LW.turbo?.facts();
  }
  LW.facts = () => facts;
  LW.follow = next => {
    if (!next?.reads) return;
    const text = JSON.stringify(next), isNew = text !== JSON.stringify(facts);
    facts = next;
    LW.shelf('localStorage', KEPT, text);
    apply();
    if (isNew) LW.turbo?.rechosen();
  };

  /* Which checkpoint the page is about. Each question has a mark, so that the answer to an older one is known, and dropped: the
     newest is what counts, however slowly they come. */
  const AS_IT_IS = { __type__: 'update' }; /* Gradio's word for an output that nothing happens to */
  let wanted, current, asked = '', count = 0, waiting = [], isOpening = true;
  const isOld = came => !came || 'asked' in came && came.asked !== asked;
  function answered() {
    isOpening = false;
    for (const done of waiting) done();
    waiting = [];
  }
  LW.isFollowing = () => isOpening || waiting.length > 0;
  /* asks for a checkpoint; resolves when the controls have followed, or could not */
  LW.use = title => new Promise(done => {
    waiting.push(done);
    wanted = title;
    asked = `${Date.now()}.${count++} ${title}`;
    LW.setBox('use_checkpoint', asked);
  });
  /* the menu tells each choice twice, and once more whenever it is left */
  LW.choosing = title => { if (title && title !== wanted) LW.use(title); };
  LW.shownFirst = title => { wanted ??= title; current ??= title; };
  LW.unasked = () => {
    LW.note('The checkpoint was not changed: the program did not answer. Is it still running?');
    wanted = current;
    answered();
    return current;
  };
  /* (the answer, what [menu, badge, defaults, ...lists, ...controls] show now) -> what they get. A control that was changed while
     the answer was on its way stays as it is. */
  LW.settle = (came, now) => {
    if (isOld(came)) return now.map(() => AS_IT_IS);
    const lists = came.lists.map(choices => ({ ...AS_IT_IS, choices })), menu = { ...AS_IT_IS, choices: came.choices };
    if (!('asked' in came)) return [menu, AS_IT_IS, AS_IT_IS, ...lists, ...now.slice(3 + lists.length).map(() => AS_IT_IS)];
    wanted = current = came.title;
    const shown = now.slice(3 + lists.length), isSame = (a, b) => (a ?? '') === (b ?? '');
    const controls = came.moves.map((move, i) => move && isSame(shown[i], move[0]) ? move[1] : AS_IT_IS);
    return [{ ...menu, value: came.title }, came.badge, came.defaults, ...lists, ...controls];
  };
  LW.settled = came => {
    if (isOld(came) || came.title !== wanted) return;
    LW.follow(came.facts);
    if (!('asked' in came)) return;
    LW.stage.say(LW.tabName(), came.message);
    answered();
  };
  LW.presetName = (width, height) => width > 0 && height > 0 ? `${width} × ${height}` : null;
  LW.presetSize = text => { const found = /^\s*(\d+)\s*[×x]\s*(\d+)\s*$/.exec(text ?? ''); return found && [+found[1], +found[2]]; };
  LW.setBox = (id, text) => {
    const box = one(`#${id} textarea, #${id} input`);
    if (!box || box.value === text) return;
    box.value = text;
    box.dispatchEvent(new Event('input', { bubbles: true }));
  };
  LW.actions.use = b => LW.use(b.dataset.title);

  try { facts = JSON.parse(LW.shelf('localStorage', KEPT)) ?? facts; } catch { /* damaged: the page asks anyway */ }
  apply();
  addEventListener('load', apply);
})();
