"""The paper's third step: where a mask is poor, ask SAM with points that memory's own matches suggest, and judge its answer."""
