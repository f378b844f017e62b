# Ajustes: la política del equipo.

settings-title = Ajustes
settings-lead = Cuánto tiempo sigue conectada la gente de { $tenant } y qué puede hacer con sus sesiones.
settings-read-only = Puede ver los ajustes, pero no cambiarlos. Un administrador puede cambiarlos.
settings-saved = Los ajustes están guardados y en vigor. Las sesiones que los incumplen terminan en menos de un minuto.
settings-same = Nada difiere de los ajustes en vigor, así que no hay nada que guardar.
settings-wrong = Corrija estos campos. No se ha cambiado nada.
settings-source = Estos ajustes proceden de una norma: { $source }
settings-source-own = Estos ajustes se eligieron a mano, no a partir de una norma.
settings-caption = Los ajustes en vigor
settings-column-setting = Ajuste
settings-column-value = Valor

settings-idle = Tiempo de inactividad
settings-idle-hint = Una sesión que nadie usa durante este tiempo termina.
settings-idle-1d = 1 día
settings-idle-7d = 7 días
settings-idle-30d = 30 días
settings-idle-never = Nunca (no recomendado)
settings-idle-never-why = Con «nunca», una sesión olvidada en un dispositivo perdido dura hasta el final de su vida.
settings-idle-own = Otro tiempo
settings-lifetimes = Duraciones
settings-remember = La gente puede elegir «recordarme»
settings-remember-lifetime = Duración con «recordarme»
settings-lifetime = Duración sin ello
settings-longest = Duración máxima de cualquier sesión
settings-longest-hint = Por mucho que se use. Las otras dos duraciones no pueden ser mayores.
settings-token = Duración de los tokens de acceso
settings-token-hint = Vacío: la de la instalación.
settings-limit = Sesiones de una persona
settings-sessions-max = Como máximo, tantas a la vez
settings-sessions-max-hint = De 1 a 10 000. Vacío: sin límite.
settings-at-limit = Un inicio de sesión en el límite
settings-at-limit-oldest = termina la sesión más antigua
settings-at-limit-refuse = se rechaza
settings-people = La gente y sus propias sesiones
settings-users-see = La gente puede ver y terminar sus propias sesiones
settings-last-page = Guardar la última página de cada sesión
settings-last-page-hint = Los administradores y la persona ven entonces qué página se abrió por última vez. La dirección después de «?» nunca se guarda.
settings-recent = Terminar otras sesiones exige haber iniciado sesión hace menos de
settings-recent-hint = También para los administradores y para cambiar estos ajustes. Vacío: en cualquier momento.
settings-sign-in = Inicio de sesión
settings-acr = Fuerza exigida del inicio de sesión (acr)
settings-acr-hint = Un valor por línea, tal como lo envía su página de inicio de sesión. Vacío: cualquiera. Las sesiones con otro valor terminan.
settings-shared = Terminar una sesión cuando dos dispositivos presentan su token de renovación
settings-shared-hint = Se ha copiado, o un dispositivo cambió de red entre dos intentos.
settings-findings = Señalar como sospechoso
settings-finding-1 = Un dispositivo nuevo
settings-finding-2 = Un país nuevo
settings-finding-3 = Una ciudad nueva
settings-finding-4 = Una red nueva
settings-finding-5 = Un viaje imposible
settings-finding-6 = Una sesión muy antigua
settings-finding-7 = Un cambio de país
settings-finding-8 = Un token de renovación usado de nuevo
settings-finding-9 = Un token de renovación en dos clientes
settings-amount = Número
settings-unit = Unidad
settings-unit-seconds = segundos
settings-unit-minutes = minutos
settings-unit-hours = horas
settings-unit-days = días
settings-check = Ver qué cambiará
settings-reset = Deshacer mis cambios

settings-value-never = Nunca
settings-value-any = Cualquiera
settings-value-any-time = En cualquier momento
settings-value-no-limit = Sin límite
settings-value-installation = La de la instalación
settings-value-yes = Sí
settings-value-no = No
settings-value-none = Ninguno
settings-stricter = Más estricto para el usuario { $user }
settings-stricter-remember = sin «recordarme»
settings-stricter-value = { $setting }: { $value }
settings-stricter-hint = Los valores más estrictos de usuarios concretos se fijan por la API y no cambian.

settings-presets = Normas
settings-presets-hint = Una norma sustituye el tiempo de inactividad y la duración máxima, y reduce las demás duraciones para que quepan. Todo lo demás queda igual.
settings-presets-caption = Las normas y lo que piden
settings-preset-name = Norma
settings-preset-source = Fuente
settings-preset-two-factors = Fije también la «fuerza exigida del inicio de sesión»: esta norma pide dos factores.
settings-preset-use = Ver qué cambiaría { $name }
settings-preset-idle-none = como está

settings-confirm-title = ¿Guardar estos ajustes?
settings-confirm-changes = Lo que cambia
settings-confirm-before = Ahora
settings-confirm-after = Nuevo
settings-preview =
    { $count ->
        [0] Ninguna sesión terminará por esto.
        [one] Una sesión terminará por esto.
       *[other] { $count } sesiones terminarán por esto.
    }
settings-preview-capped =
    { $count ->
        [0] El equipo tiene demasiadas sesiones para mirarlas todas. Ninguna de las más recientes terminará por esto.
       *[other] Al menos { $count } sesiones terminarán por esto.
    }
settings-preview-sample = Las más recientes de ellas
settings-preview-user = Usuario
settings-preview-device = Dispositivo
settings-preview-last-active = Última actividad
settings-preview-later = Las sesiones que más tarde queden inactivas demasiado tiempo terminarán entonces.
settings-reason = Motivo
settings-reason-hint = Para el registro de auditoría. Como máximo 1024 bytes.
settings-save = Guardar los ajustes
settings-back = Volver sin guardar
settings-unknown-device = Dispositivo desconocido

settings-conflict-title = Otra persona cambió los ajustes
settings-conflict-why = Se cambiaron después de que usted los abriera. No se ha guardado nada de lo suyo. Compare las dos versiones y elija.
settings-conflict-by = Cambiado { $time } por { $actor }: { $reason }
settings-conflict-caption = En qué difieren las dos versiones
settings-conflict-theirs = En vigor ahora
settings-conflict-yours = La suya
settings-conflict-same = Las dos versiones son iguales. No queda nada que guardar.
settings-conflict-use-yours = Seguir con la mía
settings-conflict-use-theirs = Dejar lo que está en vigor

settings-wrong-idle = Tiempo de inactividad: escriba un número entero, de 1 segundo a 3660 días.
settings-wrong-lifetime = Duración sin «recordarme»: escriba un número entero, desde 1 segundo hasta la duración máxima.
settings-wrong-remember = Duración con «recordarme»: escriba un número entero, desde 1 segundo hasta la duración máxima.
settings-wrong-longest = Duración máxima: escriba un número entero, de 1 segundo a 3660 días.
settings-wrong-token = Duración de los tokens de acceso: escriba un número entero de al menos 1 segundo, no mayor que lo que permite la instalación.
settings-wrong-sessions-max = Sesiones de una persona: escriba de 1 a 10 000, o nada.
settings-wrong-at-limit = Un inicio de sesión en el límite: elija qué hace.
settings-wrong-acr = Fuerza exigida del inicio de sesión: como máximo 16 valores de 256 bytes, sin caracteres de control.
settings-wrong-recent = Inicio de sesión reciente: escriba un número entero, de 1 segundo a 3660 días, o nada.
settings-wrong-users = Un valor más estricto de un usuario sería más laxo que estos ajustes. Cámbielo primero por la API.
settings-wrong-preset = Esta norma no se conoce.
settings-wrong-reason = Escriba un motivo de como máximo 1024 bytes, sin caracteres de control.
settings-wrong-other = La autoridad rechazó un valor ({ $field }).
settings-gates = Puertas: donde se aplican estos ajustes
