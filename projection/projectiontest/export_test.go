package projectiontest

import "context"

// VerifyVirtual is what Then does in its bubble.
func (s *Scenario) VerifyVirtual(ctx context.Context, checks ...Check) error {
	return s.verify(ctx, true, checks)
}
