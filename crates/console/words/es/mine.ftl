# Las sesiones propias.

mine-title = Mis sesiones
mine-lead = Todos los lugares donde tiene una sesión abierta. Si no reconoce alguno, ciérrelo y cambie su contraseña.
mine-back = Todas mis sesiones
mine-pages = Más sesiones
mine-this-session = Esta sesión
mine-other-sessions = Otras sesiones
mine-no-others = No tiene ninguna otra sesión abierta.
mine-current = Este dispositivo
mine-suspicious = Por revisar
mine-suspicious-count = { $count ->
    [one] { $count } sesión parece inusual. Revísela.
   *[other] { $count } sesiones parecen inusuales. Revíselas.
}
mine-hidden = Su organización no muestra las sesiones aquí. Aun así puede cerrar esta.
mine-sign-out = Cerrar sesión
mine-sign-out-here = Cerrar esta sesión
mine-sign-out-others = Cerrar todas las demás
mine-sign-out-everywhere = Cerrar en todas partes
mine-last-active = Última actividad
mine-status-active = Activa ahora
mine-status-idle = Inactiva
mine-state-ended = Terminada

mine-slot-day = En las últimas 24 horas
mine-slot-week = En los últimos 7 días
mine-slot-older = Antes

mine-device-unknown = Dispositivo desconocido
mine-device-on = { $program } en { $machine }
mine-type-desktop = Ordenadores
mine-type-phone = Teléfonos
mine-type-tablet = Tabletas
mine-type-tv = Televisores
mine-type-program = Programas
mine-type-unknown = Otros dispositivos

mine-facts = Detalles
mine-fact-user = Usuario
mine-fact-user-id = Id. de usuario
mine-fact-device = Dispositivo
mine-fact-place = Lugar
mine-fact-operator = Operador de red
mine-fact-address = Dirección
mine-fact-created = Inicio de sesión
mine-fact-last-active = Última actividad
mine-fact-actions = Peticiones
mine-fact-sign-ins = Inicios de sesión en este dispositivo
mine-fact-last-page = Última página
mine-fact-methods = Iniciada con
mine-fact-acr = Nivel de inicio de sesión
mine-fact-authenticated = Identidad confirmada
mine-fact-idle-end = Termina si no se usa
mine-fact-end = Termina como máximo
mine-fact-ended = Terminada
mine-fact-why = Por qué
mine-fact-reason = Motivo, para administradores
mine-fact-actor = Terminada por
mine-fact-id = Id. de sesión

mine-method-pwd = contraseña
mine-method-otp = código de un solo uso
mine-method-sms = mensaje de texto
mine-method-key = llave de seguridad
mine-method-biometric = cara o huella
mine-method-pin = PIN
mine-method-mfa = varios factores
mine-method-card = tarjeta inteligente

mine-findings = Esta sesión parece inusual
mine-advice = Si no fue usted:
mine-level-high = Grave
mine-level-medium = Inusual
mine-level-low = Para su información
mine-finding-unknown = un lugar desconocido
mine-finding-new-device = Antes no había iniciado sesión en este dispositivo.
mine-finding-new-country = Antes no había iniciado sesión desde { $country }.
mine-finding-new-city = Antes no había iniciado sesión desde { $city }.
mine-finding-new-network = Antes no había iniciado sesión desde esta red.
mine-finding-impossible-travel = Tendría que haber viajado { $distance } km de { $from } a { $to } más rápido que un avión.
mine-finding-old-session = { $days ->
    [one] Esta sesión tiene { $days } día.
   *[other] Esta sesión tiene { $days } días.
}
mine-finding-country-changed = Se abrió en { $from } y se usa en { $to }.
mine-finding-refresh-token-reused = Alguien tiene una copia de esta sesión. Se ha terminado.
mine-finding-refresh-token-shared = Dos dispositivos usan esta sesión a la vez. Uno de ellos puede tener una copia.
mine-finding-other = Hay algo inusual en esta sesión.
mine-advice-end-session = Cerrar esta sesión
mine-advice-end-all-sessions = Cerrar en todas partes
mine-advice-change-password = Cambiar la contraseña
mine-advice-second-factor = Activar un segundo factor
mine-advice-recent-changes = Revisar los cambios recientes de su cuenta
mine-advice-audit-log = Leer el registro de auditoría

mine-confirm-title = ¿Cerrar esta sesión?
mine-confirm-of = Es una sesión de { $user }.
mine-confirm-current = Saldrá de esta página enseguida y tendrá que iniciar sesión de nuevo.
mine-confirm-other = Se rechaza enseguida en todas partes. Lo que no se haya guardado allí se pierde.
mine-confirm-ended = Esta sesión ya ha terminado. No hay nada que cerrar.
mine-confirm-see = Ver cómo terminó
mine-confirm-reason = Motivo
mine-confirm-reason-hint = Obligatorio. Queda en el registro de auditoría y el usuario no lo ve.
mine-confirm-message = Texto para el usuario
mine-confirm-message-hint = El usuario lo ve después del cierre.
mine-include-current = Cerrar también la actual
mine-others-lead = Todas las sesiones menos esta terminan enseguida.
mine-everywhere-lead = Todas las sesiones terminan enseguida, también esta. Tendrá que iniciar sesión de nuevo.
mine-ending = { $count ->
    [one] Termina { $count } sesión más
   *[other] Terminan { $count } sesiones más
}
mine-ending-capped = Terminan más de { $count } sesiones
mine-ending-unlisted = { $count ->
    [one] Y { $count } más.
   *[other] Y { $count } más.
}
mine-done-one = La sesión se ha cerrado.
mine-done-others = Se han cerrado todas las demás sesiones.
mine-done-everywhere = Ha cerrado la sesión en todas partes.

mine-ended-link = Sesiones terminadas
mine-ended-title = Sesiones terminadas
mine-ended-lead = Las últimas sesiones que han terminado, y por qué.
mine-ended-none = Últimamente no ha terminado ninguna sesión.
mine-end-user = Usted cerró la sesión.
mine-end-another-device = Usted la cerró desde otra sesión.
mine-end-identity-provider = Su organización cerró su sesión.
mine-end-administrator = Un administrador la cerró.
mine-end-user-disabled = Un administrador desactivó su cuenta.
mine-end-refresh-token-reused = Alguien usó una copia de esta sesión, así que se terminó.
mine-end-replaced = Un inicio de sesión más reciente en el mismo dispositivo la sustituyó.
mine-end-recovery = Se cerró la sesión de todos tras una recuperación del servicio.
mine-end-policy = Ya no cumplía los ajustes de su organización.
mine-end-idle = No se usó durante demasiado tiempo.
mine-end-password-changed = Se cambió su contraseña.
mine-end-second-factor-changed = Se cambió su segundo factor.
mine-end-session-limit = Había demasiadas sesiones y era la más antigua.
mine-end-expired = Había llegado a su fin.
mine-end-unknown = Ha terminado.

mine-signed-out-title = Su sesión está cerrada
mine-signed-out-plain = No hay ninguna sesión en este dispositivo. Inicie sesión para ver sus sesiones.
mine-signed-in-title = Su sesión está abierta
mine-signed-in = Esta sesión no ha terminado.
mine-message = El mensaje para usted:
mine-leave = Salir
mine-next-sign-in = Inicie sesión de nuevo para continuar.
mine-next-copied = Inicie sesión de nuevo y cambie su contraseña. Después cierre todas las sesiones que no reconozca.
mine-next-disabled = En este momento no puede iniciar sesión. Consulte con su organización.
mine-next-another-device = Si no fue usted, inicie sesión y cambie su contraseña.
mine-next-administrator = Puede iniciar sesión de nuevo, salvo que su organización diga otra cosa.
