/* All that extensions are asked on a tab, as one text in a box that Gradio knows, so that a reload, a switch to another sampler
   and back, and a picture that is taken as input bring it again. See webui/ui/own_text.py for what stands in it. */
(() => {
  const { one } = LW;
  const said = new Map(); /* tab -> {sampler, schedule, text, own}: as Gradio last told it, or as it was changed since */
  const followers = []; /* (tab) -> draws what the text says */

  function read(text) {
    try { const own = JSON.parse(text || '{}'); return own && typeof own === 'object' && !Array.isArray(own) ? own : {}; } catch { return {}; }
  }
  const isDamaged = text => Boolean(text) && !Object.keys(read(text)).length && text !== '{}';
  const inMenu = (tab, name) => one(`#${tab}_${name} input`)?.value ?? '';
  const inBox = tab => one(`#${tab}_own :is(textarea, input)`)?.value ?? '';
  function state(tab) {
    if (said.has(tab)) return said.get(tab);
    const text = inBox(tab);
    return { sampler: inMenu(tab, 'sampler'), schedule: inMenu(tab, 'schedule'), text, own: read(text) };
  }
  /* without what is empty, so that a part that was opened and left as it was leaves no trace */
  function text(own) {
    const isEmpty = value => value === undefined || value === '' || (value && typeof value === 'object' && !Object.keys(value).length);
    const inner = value => value && typeof value === 'object' && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).filter(([, each]) => !isEmpty(each))) : value;
    const kept = Object.entries(own).map(([key, value]) => [key, inner(value)]).filter(([, value]) => !isEmpty(value));
    return kept.length ? JSON.stringify(Object.fromEntries(kept)) : '';
  }
  const draw = tab => followers.forEach(follow => follow(tab));

  LW.ownBox = {
    state,
    /* Gradio's event: the chosen sampler, schedule, and the text */
    told(tab, [sampler, schedule, now]) {
      if (isDamaged(now)) return LW.setBox(`${tab}_own`, ''); /* nobody could mend it, for nobody sees it */
      said.set(tab, { sampler: sampler ?? '', schedule: schedule ?? '', text: now ?? '', own: read(now) });
      draw(tab);
    },
    /* change(own) makes a new one of a copy of it */
    change(tab, change) {
      const before = state(tab), own = change(structuredClone(before.own)), now = text(own);
      said.set(tab, { ...before, own, text: now });
      LW.setBox(`${tab}_own`, now);
    },
    follow(draw) { followers.push(draw); },
    read, text,
    /* a tab that is opened late stands there before its menus and boxes have their values */
    settle(tab, tries = 20) {
      if (!said.has(tab) && inMenu(tab, 'sampler')) LW.ownBox.told(tab, [inMenu(tab, 'sampler'), inMenu(tab, 'schedule'), inBox(tab)]);
      else draw(tab);
      if (tries && !said.has(tab)) setTimeout(LW.ownBox.settle, 50, tab, tries - 1);
    },
    drawAll(tabs) { for (const tab of tabs) draw(tab); },
  };
})();
